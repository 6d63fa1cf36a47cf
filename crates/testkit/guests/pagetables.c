/* pagetables [GIB]: reads one byte of every 2 MiB of a sparse file mapping. Almost no RSS, but 4 KiB of page table each.
 * Proves that kernel memory of the box is charged (R7). */
#include "guest.h"
int main(int argc, char **argv) {
  size_t length = (size_t)number(argc, argv, 1, 256) << 30;
  int fd = memfd_create("sparse", 0);
  if (fd < 0 || ftruncate(fd, 4096)) die(5, "memfd: %s", errname(-1));
  /* One page of data mapped over and over: 4 KiB of page cache, one page table per mapping. */
  for (size_t at = 0; at < length; at += 2 * MiB) {
    volatile char *p = mmap((void *)(0x100000000000UL + at), 4096, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    if (p == MAP_FAILED) die(3, "mmap: %s", errname(-1));
    (void)*p;
  }
  return 0;
}
