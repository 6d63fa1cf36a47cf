/* netprobe [TCP_PORT UDP_PORT UNIX_PATH ABSTRACT_NAME]: which sockets can be made, and which of the given listeners on the host can be
 * reached. Prints each way's errno name. Proves W5 to W10, F19, F20; the same probe outside the box is its positive control. */
#include "guest.h"
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
static void made(const char *name, int family, int type, int protocol) {
  int fd = socket(family, type, protocol);
  printf("\"%s\":\"%s\",", name, errname(fd));
  if (fd >= 0) close(fd);
}
static struct sockaddr_in local(long port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return a;
}
int main(int argc, char **argv) {
  long tcp = number(argc, argv, 1, 0), udp = number(argc, argv, 2, 0);
  putchar('{');
  made("tcp", AF_INET, SOCK_STREAM, 0);
  made("tcp6", AF_INET6, SOCK_STREAM, 0);
  made("udp", AF_INET, SOCK_DGRAM, 0);
  made("mptcp", AF_INET, SOCK_STREAM, 262);
  made("sctp", AF_INET, SOCK_STREAM, 132);
  made("udplite", AF_INET, SOCK_DGRAM, 136);
  made("raw", AF_INET, SOCK_RAW, 255);
  made("packet", AF_PACKET, SOCK_RAW, 0);
  made("unix", AF_UNIX, SOCK_STREAM, 0);
  made("netlink", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  made("audit", AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);
  made("vsock", 40, SOCK_STREAM, 0);
  made("alg", 38, SOCK_SEQPACKET, 0);
  /* Bit 32 must not turn a refused family into an allowed one. */
  long wide = syscall(SYS_socket, 40L | 1L << 32, (long)SOCK_STREAM, 0L);
  printf("\"vsock_wide\":\"%s\",", errname(wide));
  struct sockaddr_in a = local(tcp);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  printf("\"tcp_connect\":\"%s\",", fd < 0 ? errname(fd) : errname(connect(fd, (void *)&a, sizeof a)));
  if (fd >= 0) close(fd);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  printf("\"tcp_fastopen\":\"%s\",", fd < 0 ? errname(fd) : errname(sendto(fd, "x", 1, MSG_FASTOPEN, (void *)&a, sizeof a)));
  if (fd >= 0) close(fd);
  fd = socket(AF_INET, SOCK_STREAM, 262);
  printf("\"mptcp_connect\":\"%s\",", fd < 0 ? errname(fd) : errname(connect(fd, (void *)&a, sizeof a)));
  if (fd >= 0) close(fd);
  struct sockaddr_in any = a;
  any.sin_addr.s_addr = 0;
  fd = socket(AF_INET, SOCK_STREAM, 0);
  printf("\"tcp_any_address\":\"%s\",", fd < 0 ? errname(fd) : errname(connect(fd, (void *)&any, sizeof any)));
  if (fd >= 0) close(fd);
  struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)tcp)};
  inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
  fd = socket(AF_INET6, SOCK_STREAM, 0);
  printf("\"tcp_mapped\":\"%s\",", fd < 0 ? errname(fd) : errname(connect(fd, (void *)&mapped, sizeof mapped)));
  if (fd >= 0) close(fd);
  struct sockaddr_in u = local(udp);
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  long sent = fd < 0 ? fd : sendto(fd, "probe", 5, 0, (void *)&u, sizeof u);
  /* The answer, not the sending, says that the datagram arrived. */
  if (sent == 5) {
    struct timeval wait = {0, 300000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    char answer[8];
    sent = recv(fd, answer, sizeof answer, 0);
  }
  printf("\"udp_echo\":\"%s\",", errname(sent));
  if (fd >= 0) close(fd);
  struct sockaddr_in bound = local(0);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  printf("\"tcp_bind\":\"%s\",", fd < 0 ? errname(fd) : errname(bind(fd, (void *)&bound, sizeof bound)));
  if (fd >= 0) close(fd);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  printf("\"tcp_listen_unbound\":\"%s\",", fd < 0 ? errname(fd) : errname(listen(fd, 1)));
  if (fd >= 0) close(fd);
  struct sockaddr_un path = {.sun_family = AF_UNIX};
  strncpy(path.sun_path, argc > 3 ? argv[3] : "/nonexistent", sizeof path.sun_path - 1);
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  printf("\"unix_path\":\"%s\",", fd < 0 ? errname(fd) : errname(connect(fd, (void *)&path, sizeof path)));
  if (fd >= 0) close(fd);
  struct sockaddr_un abstract = {.sun_family = AF_UNIX};
  const char *name = argc > 4 ? argv[4] : "nobody-listens";
  strncpy(abstract.sun_path + 1, name, sizeof abstract.sun_path - 2);
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
  printf("\"unix_abstract\":\"%s\"", fd < 0 ? errname(fd) : errname(connect(fd, (void *)&abstract, length)));
  puts("}");
  return 0;
}
