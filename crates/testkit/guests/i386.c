/* i386: without a C library, for -m32: write(1, "32\n"), then exit with the low byte of getppid()'s sign. Built as a 64-bit program it
 * only says that it is none (77). Proves that a 32-bit tracee's calls are read from its own registers (P14). */
#if defined(__i386__)
static int call(int number, int a, int b, int c) {
  int result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
  return result;
}
void _start(void) {
  static const char text[] = "32\n";
  call(4, 1, (int)text, 3);
  call(6, -7, 0, 0);
  call(1, 6, 0, 0);
  for (;;) {
  }
}
#else
int main(void) { return 77; }
#endif
