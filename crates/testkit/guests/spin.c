/* spin: user time without end. Proves that the CPU limit ends a program that makes no system call. */
int main(void) {
  for (volatile unsigned long i = 0;; i++) {
  }
}
