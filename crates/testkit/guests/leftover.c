/* leftover [NUMBER]: makes what outlives a process: a SysV segment, queue and semaphore, POSIX queue, files in /tmp and /dev/shm, an abstract
 * socket, a key in the user keyring. Prints what came of each and exits 0. Proves that nothing crosses to the next run (L7, E2). */
#include "guest.h"
#include <mqueue.h>
#include <stddef.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
int main(int argc, char **argv) {
  key_t key = (key_t)number(argc, argv, 1, 0x54495053);
  char name[128];
  printf("{\"shm\":\"%s\",", errname(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0666)));
  printf("\"msg\":\"%s\",", errname(msgget(key, IPC_CREAT | IPC_EXCL | 0666)));
  printf("\"sem\":\"%s\",", errname(semget(key, 1, IPC_CREAT | IPC_EXCL | 0666)));
  snprintf(name, sizeof name, "/tipstaff-left-%d", key);
  printf("\"mqueue\":\"%s\",", errname(mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0666, NULL)));
  snprintf(name, sizeof name, "/tmp/tipstaff-left-%d", key);
  printf("\"tmp\":\"%s\",", errname(open(name, O_CREAT | O_EXCL | O_RDWR, 0666)));
  snprintf(name, sizeof name, "/dev/shm/tipstaff-left-%d", key);
  printf("\"dev_shm\":\"%s\",", errname(open(name, O_CREAT | O_EXCL | O_RDWR, 0666)));
  snprintf(name, sizeof name, "tipstaff-left-%d", key);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path + 1, name);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
  printf("\"abstract\":\"%s\",", fd < 0 ? errname(fd) : errname(bind(fd, (void *)&address, length)));
  printf("\"key\":\"%s\"}\n", errname(syscall(SYS_add_key, "user", name, "x", 1, -4 /* KEY_SPEC_USER_KEYRING */)));
  return 0;
}
