/* recurse: recursion without end. Proves that a stack overflow is SIGSEGV and that the stack limit is the one asked for. */
#include "guest.h"
static volatile long depth;
#pragma GCC diagnostic ignored "-Winfinite-recursion"
__attribute__((noinline)) static long deeper(volatile char *above) {
  volatile char frame[4096];
  frame[0] = above[0];
  depth++;
  return deeper(frame) + frame[0];
}
int main(void) {
  volatile char first = 1;
  return (int)deeper(&first);
}
