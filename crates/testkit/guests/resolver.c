/* resolver NAME...: looks names up as small static resolvers do. It asks the name server of /etc/resolv.conf for A and AAAA on one UDP socket that is bound and not connected,
 * and takes nothing that comes from another address or another port. Prints the first address of each, or what became of it. */
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
static struct sockaddr_in server = {.sin_family = AF_INET};
static size_t query(unsigned char *q, const char *name, int type) {
  memset(q, 0, 12);
  q[0] = 0x47, q[1] = (unsigned char)type, q[2] = 1, q[5] = 1;
  size_t at = 12;
  while (*name) {
    size_t len = strcspn(name, ".");
    q[at++] = (unsigned char)len;
    memcpy(q + at, name, len);
    at += len;
    name += len + (name[len] == '.');
  }
  q[at++] = 0;
  q[at++] = 0, q[at++] = (unsigned char)type, q[at++] = 0, q[at++] = 1;
  return at;
}
/* Asks again, since datagrams are lost. How many answers came; the address is that of the one for A. */
static int look(const char *name, char *text, int *code) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), seen = 0;
  struct sockaddr_in any = {.sin_family = AF_INET};
  if (fd < 0 || bind(fd, (void *)&any, sizeof any)) return -1;
  for (int tries = 0; tries < 3 && seen != 3; tries++) {
    for (int type = 1; type <= 28; type += 27) {
      unsigned char q[300];
      size_t len = query(q, name, type);
      if (sendto(fd, q, len, MSG_NOSIGNAL, (void *)&server, sizeof server) != (long)len) return -1;
    }
    struct pollfd p = {fd, POLLIN, 0};
    while (seen != 3 && poll(&p, 1, 5000) == 1) {
      unsigned char got[512];
      struct sockaddr_in from = {0};
      socklen_t size = sizeof from;
      long len = recvfrom(fd, got, sizeof got, 0, (void *)&from, &size);
      if (len < 12 || got[0] != 0x47) continue;
      if (from.sin_addr.s_addr != server.sin_addr.s_addr || from.sin_port != server.sin_port) return -2;
      seen |= got[1] == 1 ? 1 : 2;
      *code = got[3] & 15;
      if (got[1] == 1 && got[7]) inet_ntop(AF_INET, got + len - 4, text, 64);
    }
  }
  /* The flags of the socket are those that it was made with. */
  if (fcntl(fd, F_GETFD) != FD_CLOEXEC || !(fcntl(fd, F_GETFL) & O_NONBLOCK)) return -3;
  close(fd);
  return seen == 3 ? 2 : 0;
}
int main(int argc, char **argv) {
  char line[256], address[64];
  FILE *conf = fopen("/etc/resolv.conf", "r");
  if (!conf) die(2, "/etc/resolv.conf: %s", errname(-1));
  while (fgets(line, sizeof line, conf))
    if (sscanf(line, "nameserver %63s", address) == 1) inet_pton(AF_INET, address, &server.sin_addr);
  server.sin_port = htons(53);
  for (int i = 1; i < argc; i++) {
    char text[64] = "none";
    int code = -1, answers = look(argv[i], text, &code);
    if (answers == -2) printf("%s: an answer from elsewhere\n", argv[i]);
    else if (answers < 0) printf("%s: %s\n", argv[i], answers == -3 ? "other flags" : errname(-1));
    else printf("%s: %d answers, code %d, %s\n", argv[i], answers, code, text);
  }
  return 0;
}
