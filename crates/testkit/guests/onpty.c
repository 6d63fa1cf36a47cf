/* onpty SLAVE COMMAND...: a tool, not a guest: a new session on the terminal SLAVE, which becomes its controlling terminal and its
 * standard streams, then COMMAND, with signals as a terminal's programs have them: a suite in the background of a script may ignore some. */
#include "guest.h"
int main(int argc, char **argv) {
  if (argc < 3) die(2, "usage: onpty SLAVE COMMAND...");
  if (setsid() < 0) die(2, "setsid: %s", errname(-1));
  int fd = open(argv[1], O_RDWR);
  if (fd < 0) die(2, "%s: %s", argv[1], errname(-1));
  for (int i = 0; i < 3; i++) dup2(fd, i);
  static const int keys[] = {SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGHUP};
  for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) signal(keys[i], SIG_DFL);
  if (fd > 2) close(fd);
  execv(argv[2], argv + 2);
  die(2, "%s: %s", argv[2], errname(-1));
}
