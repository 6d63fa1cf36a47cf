/* segv: writes to address zero. Proves that a crash is signaled with its signal, and no limit. */
int main(void) {
  *(volatile int *)0 = 1;
  return 0;
}
