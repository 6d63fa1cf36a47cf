/* memhog KIND MIB [KEEP_MS]: gets MIB mebibytes of memory in one of the ways in which a program can have memory, as fast as it can, keeps
 * them for KEEP_MS (0), prints "OK" and exits 0. Refused with an errno, it prints "MIB ERRNO" and exits 3.
 * Proves that each kind counts against a memory limit, and that a program which stays below it is left alone. */
#include "guest.h"
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
static long wanted, keep;
static char block[1 << 20];
/* How many children and threads have got theirs. */
static volatile long *got;

__attribute__((noreturn)) static void refused(long had) {
  printf("%ld %s\n", had, errname(-1));
  fflush(NULL);
  exit(3);
}
static void nap(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
  while (nanosleep(&t, &t) && errno == EINTR) {
  }
}
static char *map(size_t length, int flags, int fd) {
  char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (memory == MAP_FAILED) refused(0);
  return memory;
}
static void await_all(long number) {
  while (*got < number) nap(1);
}
static void fill(int fd, long mib) {
  for (long i = 0; i < mib; i++)
    if (write(fd, block, sizeof block) != (ssize_t)sizeof block) refused(i);
}
static int memfd(void) {
  int fd = memfd_create("hog", 0);
  if (fd < 0) refused(0);
  return fd;
}
static void file_in(const char *dir) {
  char path[64];
  snprintf(path, sizeof path, "%s/hog", dir);
  int fd = open(path, O_CREAT | O_RDWR, 0600);
  if (fd < 0) refused(0);
  unlink(path);
  fill(fd, wanted);
}
static void send_fd(int socket, int fd) {
  char byte = 'x', space[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  struct cmsghdr *control = CMSG_FIRSTHDR(&message);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(control), &fd, sizeof fd);
  if (sendmsg(socket, &message, 0) != 1) refused(0);
}
static int receive_fd(int socket) {
  char byte, space[CMSG_SPACE(sizeof(int))];
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  if (recvmsg(socket, &message, 0) != 1) refused(0);
  int fd;
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}
static void pair(int sockets[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets)) refused(0);
}

static void anonymous(void) { touch(map((size_t)(wanted * MiB), MAP_PRIVATE | MAP_ANONYMOUS, -1), (size_t)(wanted * MiB)); }
static void huge(void) {
  char *memory = map((size_t)(wanted * MiB), MAP_PRIVATE | MAP_ANONYMOUS, -1);
  madvise(memory, (size_t)(wanted * MiB), MADV_HUGEPAGE);
  touch(memory, (size_t)(wanted * MiB));
}
static void devzero(void) {
  int fd = open("/dev/zero", O_RDWR);
  if (fd < 0) refused(0);
  touch(map((size_t)(wanted * MiB), MAP_PRIVATE, fd), (size_t)(wanted * MiB));
}
static void shared(void) { touch(map((size_t)(wanted * MiB), MAP_SHARED | MAP_ANONYMOUS, -1), (size_t)(wanted * MiB)); }
/* The pages stay in the object although nobody maps them. */
static void shared_dropped(void) {
  char *memory = map((size_t)(wanted * MiB), MAP_SHARED | MAP_ANONYMOUS, -1);
  for (long i = 0; i < wanted; i++) {
    touch(memory + i * MiB, MiB);
    madvise(memory + i * MiB, MiB, MADV_DONTNEED);
  }
}
/* As before, by the end of those who mapped them. */
static void shared_orphans(void) {
  char *memory = map((size_t)(wanted * MiB), MAP_SHARED | MAP_ANONYMOUS, -1);
  for (long i = 0; i < wanted; i += 4) {
    pid_t pid = fork();
    if (pid < 0) refused(i);
    if (pid == 0) {
      touch(memory + i * MiB, (size_t)((i + 4 > wanted ? wanted - i : 4) * MiB));
      _exit(0);
    }
    waitpid(pid, NULL, 0);
  }
}
static void memfd_mapped(void) {
  int fd = memfd();
  if (ftruncate(fd, wanted * MiB)) refused(0);
  char *memory = map((size_t)(wanted * MiB), MAP_SHARED, fd);
  close(fd);
  touch(memory, (size_t)(wanted * MiB));
}
static void memfd_written(void) { fill(memfd(), wanted); }
static void memfd_allocated(void) {
  if (fallocate(memfd(), 0, 0, wanted * MiB)) refused(0);
}
/* Filled by a process that passes it on and closes it. */
static void memfd_passed(void) {
  int sockets[2];
  pair(sockets);
  pid_t pid = fork();
  if (pid == 0) {
    int fd = memfd();
    fill(fd, wanted);
    send_fd(sockets[0], fd);
    _exit(0);
  }
  int fd = receive_fd(sockets[1]);
  waitpid(pid, NULL, 0);
  struct stat status;
  if (fstat(fd, &status) || status.st_size != wanted * MiB) refused(0);
}
/* Many of one MiB, each only ever waiting in a socket. */
static void memfd_flight(void) {
  for (long sent = 0; sent < wanted;) {
    int sockets[2];
    pair(sockets);
    for (int i = 0; i < 8 && sent < wanted; i++, sent++) {
      int fd = memfd();
      fill(fd, 1);
      send_fd(sockets[0], fd);
      close(fd);
    }
  }
}
static void in_dev_shm(void) { file_in("/dev/shm"); }
static void in_tmp(void) { file_in("/tmp"); }
static void sysv(int attach) {
  int id = shmget(IPC_PRIVATE, (size_t)(wanted * MiB), 0600 | IPC_CREAT);
  if (id < 0) refused(0);
  char *memory = shmat(id, NULL, 0);
  if (memory == (void *)-1) refused(0);
  touch(memory, (size_t)(wanted * MiB));
  if (!attach) shmdt(memory);
  nap(keep);
  shmctl(id, IPC_RMID, NULL);
}
static void sysv_attached(void) { sysv(1); }
static void sysv_detached(void) { sysv(0); }
/* A quarter in the parent; three children that write to all of theirs. */
static void copies(void) {
  size_t length = (size_t)(wanted * MiB / 4);
  char *memory = map(length, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  touch(memory, length);
  for (int i = 0; i < 3; i++) {
    pid_t pid = fork();
    if (pid < 0) refused(i);
    if (pid == 0) {
      touch(memory, length);
      __sync_add_and_fetch(got, 1);
      for (;;) pause();
    }
  }
  await_all(3);
}
/* All of it in the parent, read by eight children: eight times as much by the sum of resident sets, and not one byte more. */
static void sharers(void) {
  size_t length = (size_t)(wanted * MiB);
  char *memory = map(length, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  touch(memory, length);
  for (int i = 0; i < 8; i++) {
    pid_t pid = fork();
    if (pid < 0) refused(i);
    if (pid == 0) {
      for (;;) {
        long sum = 0;
        for (size_t at = 0; at < length; at += 4096) sum += memory[at];
        block[0] = (char)sum;
        __sync_add_and_fetch(got, 1);
        nap(1);
      }
    }
  }
  await_all(8);
}
/* One byte in every 2 MiB: a page and a page of the page table each. */
static void tables(void) {
  size_t length = (size_t)(wanted * MiB / 2 / 4096) * (2 * MiB);
  char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) refused(0);
  madvise(memory, length, MADV_NOHUGEPAGE);
  for (size_t at = 0; at < length; at += 2 * MiB) memory[at] = 1;
}
/* One MiB in each of many processes. */
static void crowd(void) {
  for (long i = 0; i < wanted; i++) {
    pid_t pid = fork();
    if (pid < 0) refused(i);
    if (pid == 0) {
      touch(map(MiB, MAP_PRIVATE | MAP_ANONYMOUS, -1), MiB);
      __sync_add_and_fetch(got, 1);
      for (;;) pause();
    }
  }
  await_all(wanted);
}
static void *on_stack(void *unused) {
  char stack[4 * MiB];
  touch(stack, sizeof stack);
  __asm__ volatile("" : : "r"(stack) : "memory");
  __sync_add_and_fetch(got, 1);
  for (;;) pause();
  return unused;
}
/* Four MiB on the stack of each of many threads. */
static void stacks(void) {
  for (long i = 0; i < wanted; i += 4) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 5 * MiB);
    errno = pthread_create(&thread, &attributes, on_stack, NULL);
    if (errno) refused(i);
  }
  await_all((wanted + 3) / 4);
}
static void grown_by_mremap(void) {
  char *memory = map(MiB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  for (long i = 1; i < wanted; i++) {
    memory = mremap(memory, (size_t)(i * MiB), (size_t)((i + 1) * MiB), MREMAP_MAYMOVE);
    if (memory == MAP_FAILED) refused(i);
    touch(memory + i * MiB, MiB);
  }
}
/* Moved away again and again, the old place left mapped and filled anew. */
static void kept_by_mremap(void) {
  for (long i = 0; i < wanted; i++) {
    char *memory = map(MiB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    touch(memory, MiB);
    if (++i >= wanted) break;
    if (mremap(memory, MiB, MiB, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == MAP_FAILED) refused(i);
    touch(memory, MiB);
  }
}
static void grown_by_brk(void) {
  for (long i = 0; i < wanted; i++) {
    char *memory = sbrk(MiB);
    if (memory == (void *)-1) refused(i);
    touch(memory, MiB);
  }
}
/* Reserved, then made writable piece by piece. */
static void unlocked(void) {
  char *memory = mmap(NULL, (size_t)(wanted * MiB), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) refused(0);
  for (long i = 0; i < wanted; i++) {
    if (mprotect(memory + i * MiB, MiB, PROT_READ | PROT_WRITE)) refused(i);
    touch(memory + i * MiB, MiB);
  }
}
/* Much is reserved, one MiB used. */
static void reserved(void) {
  char *memory = mmap(NULL, 1L << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) refused(0);
  memory = mmap(NULL, (size_t)(wanted * MiB), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) refused(0);
  touch(memory, MiB);
}
/* One page of every huge page in a pipe, nothing mapped. */
static void spliced(void) {
  int ends[2] = {-1, -1};
  for (long had = 0; had < wanted; had += 2) {
    if (had % 32 == 0 && pipe2(ends, O_NONBLOCK)) refused(had);
    char *memory = map(4 * MiB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    char *whole = (char *)(((uintptr_t)memory + 2 * MiB - 1) & ~(uintptr_t)(2 * MiB - 1));
    madvise(whole, 2 * MiB, MADV_HUGEPAGE);
    touch(whole, 2 * MiB);
    struct iovec one = {whole, 4096};
    if (vmsplice(ends[1], &one, 1, 0) < 0) refused(had);
    munmap(memory, 4 * MiB);
  }
}
/* The same with a socket's send queue: the option that allows it. */
static void zerocopy(void) {
  int one = 1, socket_of = socket(AF_INET, SOCK_STREAM, 0);
  if (socket_of < 0 || setsockopt(socket_of, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one)) refused(0);
}
/* Landlock rulesets, each with a rule for every port. */
static void rulesets(void) {
  struct {
    uint64_t fs, net;
  } handled = {0, 1};
  for (long had = 0; had < wanted; had += 4) {
    int ruleset = (int)syscall(444 /* landlock_create_ruleset */, &handled, sizeof handled, 0);
    if (ruleset < 0) refused(had);
    for (uint64_t port = 0; port < 65536; port++) {
      struct {
        uint64_t allowed, port;
      } rule = {1, port};
      if (syscall(445 /* landlock_add_rule */, ruleset, 2, &rule, 0)) refused(had);
    }
  }
}
/* In pipes, one MiB each where the kernel allows that. */
static void pipes(void) {
  long had = 0;
  while (had < wanted * 1024) {
    int ends[2];
    if (pipe2(ends, O_NONBLOCK)) refused(had / 1024);
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    for (ssize_t n; (n = write(ends[1], block, 4096)) > 0;) had += 4;
  }
}

static const struct kind {
  const char *name;
  void (*get)(void);
} kinds[] = {{"anonymous", anonymous}, {"huge", huge}, {"devzero", devzero}, {"shared", shared}, {"shared_dropped", shared_dropped},
             {"shared_orphans", shared_orphans}, {"memfd_mapped", memfd_mapped}, {"memfd_written", memfd_written},
             {"memfd_allocated", memfd_allocated}, {"memfd_passed", memfd_passed}, {"memfd_flight", memfd_flight},
             {"dev_shm", in_dev_shm}, {"tmp", in_tmp}, {"sysv_attached", sysv_attached}, {"sysv_detached", sysv_detached},
             {"copies", copies}, {"sharers", sharers}, {"tables", tables}, {"crowd", crowd}, {"stacks", stacks},
             {"mremap", grown_by_mremap}, {"mremap_kept", kept_by_mremap}, {"brk", grown_by_brk}, {"unlocked", unlocked},
             {"reserved", reserved}, {"spliced", spliced}, {"zerocopy", zerocopy}, {"rulesets", rulesets}, {"pipes", pipes}};

int main(int argc, char **argv) {
  wanted = number(argc, argv, 2, 64);
  keep = number(argc, argv, 3, 0);
  memset(block, 7, sizeof block);
  got = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (argc > 1 && !strcmp(kinds[i].name, argv[1])) {
      kinds[i].get();
      nap(keep);
      puts("OK");
      return 0;
    }
  die(2, "memhog: no kind %s", argc > 1 ? argv[1] : "given");
}
