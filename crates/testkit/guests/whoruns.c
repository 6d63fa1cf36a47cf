/* whoruns [ARG...]: prints the name of the file that runs, and its arguments. Proves which program an exec has really started. */
#include "guest.h"
int main(int argc, char **argv) {
  char exe[4096] = {0};
  if (readlink("/proc/self/exe", exe, sizeof exe - 1) < 0) return 5;
  const char *slash = strrchr(exe, '/');
  printf("%s", slash ? slash + 1 : exe);
  for (int i = 1; i < argc; i++) printf(" %s", argv[i]);
  printf("\n");
  return 0;
}
