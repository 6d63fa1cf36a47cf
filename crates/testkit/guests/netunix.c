/* netunix SHOWN HIDDEN MADE: unix sockets by name. SHOWN is a directory with sockets `stream` and `datagrams` that may be reached, HIDDEN one with the same
 * that may not. In MADE, which may be written, sockets are made. Prints each road's errno name. The same outside is the control. */
#include "guest.h"
#include <sys/socket.h>
#include <sys/un.h>
#include <stddef.h>
static void say(const char *road, long result) { printf("\"%s\":\"%s\",", road, errname(result)); }
static struct sockaddr_un at(const char *directory, const char *name) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", directory, name);
  return a;
}
static long to(int kind, struct sockaddr_un a) {
  int fd = socket(AF_UNIX, kind, 0);
  long done = fd < 0 ? fd : connect(fd, (void *)&a, sizeof a);
  int was = errno;
  if (fd >= 0) close(fd);
  errno = was;
  return done;
}
static void roads(const char *how, const char *directory) {
  char road[64];
  snprintf(road, sizeof road, "stream_%s", how);
  say(road, to(SOCK_STREAM, at(directory, "stream")));
  snprintf(road, sizeof road, "datagrams_%s", how);
  say(road, to(SOCK_DGRAM, at(directory, "datagrams")));
  struct sockaddr_un a = at(directory, "datagrams");
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  snprintf(road, sizeof road, "sendto_%s", how);
  say(road, fd < 0 ? fd : sendto(fd, road, strlen(road), 0, (void *)&a, sizeof a));
  snprintf(road, sizeof road, "sendmsg_%s", how);
  struct iovec part = {road, strlen(road)};
  struct msghdr m = {.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &part, .msg_iovlen = 1};
  say(road, fd < 0 ? fd : sendmsg(fd, &m, 0));
  if (fd >= 0) close(fd);
}
int main(int argc, char **argv) {
  if (argc < 4) die(2, "netunix SHOWN HIDDEN MADE");
  putchar('{');
  roads("shown", argv[1]);
  roads("hidden", argv[2]);
  say("missing", to(SOCK_STREAM, at(argv[1], "missing")));
  say("no_socket", to(SOCK_STREAM, at(argv[1], "plain")));
  say("other_type", to(SOCK_DGRAM, at(argv[1], "stream")));
  /* A link where a guest may write leads where it may not. */
  struct sockaddr_un link = at(argv[3], "link"), target = at(argv[2], "stream");
  if (symlink(target.sun_path, link.sun_path)) die(3, "symlink: %s", strerror(errno));
  say("link_to_hidden", to(SOCK_STREAM, link));
  unlink(link.sun_path);
  /* The length ends a path, not a byte behind it. */
  struct sockaddr_un exact = at(argv[1], "stream");
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(exact.sun_path));
  exact.sun_path[strlen(exact.sun_path)] = 'x';
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  say("exact_length", fd < 0 ? fd : connect(fd, (void *)&exact, length));
  close(fd);
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "tipstaff-netunix-%d", getpid());
  length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name.sun_path + 1));
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  say("abstract_bind", bind(server, (void *)&name, length));
  listen(server, 1);
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  say("abstract", connect(fd, (void *)&name, length));
  close(fd);
  close(server);
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  say("autobind", bind(fd, (void *)&name, sizeof(sa_family_t)));
  close(fd);
  struct sockaddr_un own = at(argv[3], "own");
  umask(027);
  server = socket(AF_UNIX, SOCK_STREAM, 0);
  say("bind", bind(server, (void *)&own, sizeof own));
  struct stat made;
  long mode = stat(own.sun_path, &made) == 0 && (made.st_mode & 07777) == 0750 && made.st_uid == geteuid() ? 0 : -1;
  say("bind_mode", mode);
  struct sockaddr_un whole = {0}, cut = {0};
  length = sizeof whole;
  int twin = dup(server);
  say("name", getsockname(twin, (void *)&whole, &length));
  close(twin);
  say("name_whole", strcmp(whole.sun_path, own.sun_path) == 0 && length == sizeof(sa_family_t) + strlen(own.sun_path) + 1 ? 0 : -1);
  length = sizeof(sa_family_t) + 3;
  say("name_cut", getsockname(server, (void *)&cut, &length));
  say("name_cut_here", strlen(cut.sun_path) == 3 && length == sizeof(sa_family_t) + strlen(own.sun_path) + 1 ? 0 : -1);
  length = -1;
  say("name_negative", getsockname(server, (void *)&cut, &length));
  length = sizeof cut;
  say("name_nowhere", getsockname(server, (void *)8, &length));
  say("name_without_length", getsockname(server, (void *)&cut, (void *)8));
  int unnamed = socket(AF_UNIX, SOCK_STREAM, 0);
  say("name_of_none", getsockname(unnamed, (void *)&cut, &length) == 0 && length == sizeof(sa_family_t) ? 0 : -1);
  close(unnamed);
  say("name_of_no_socket", getsockname(0, (void *)&cut, &length));
  say("name_of_nothing", getsockname(99, (void *)&cut, &length));
  int again = socket(AF_UNIX, SOCK_STREAM, 0);
  say("bind_again", bind(again, (void *)&own, sizeof own));
  close(again);
  say("listen", listen(server, 4));
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  say("own", connect(fd, (void *)&own, sizeof own));
  int peer = accept(server, NULL, NULL);
  char byte = 0;
  say("own_data", peer < 0 ? peer : write(fd, "d", 1) == 1 && read(peer, &byte, 1) == 1 && byte == 'd' ? 0 : -1);
  close(fd);
  /* Whoever gets a datagram answers to the name that it came from. */
  struct sockaddr_un asked = at(argv[3], "asked"), asks = at(argv[3], "asks"), sender = {0};
  int receiver = socket(AF_UNIX, SOCK_DGRAM, 0);
  fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (bind(receiver, (void *)&asked, sizeof asked) || bind(fd, (void *)&asks, sizeof asks)) say("bind_datagrams", -1);
  say("question", sendto(fd, "q", 1, 0, (void *)&asked, sizeof asked));
  length = sizeof sender;
  say("question_heard", recvfrom(receiver, &byte, 1, MSG_DONTWAIT, (void *)&sender, &length));
  say("answer", sendto(receiver, "a", 1, 0, (void *)&sender, length));
  say("answer_heard", recv(fd, &byte, 1, MSG_DONTWAIT) == 1 && byte == 'a' ? 0 : -1);
  say("answer_by_connect", connect(receiver, (void *)&sender, length));
  close(receiver);
  close(fd);
  unlink(asked.sun_path);
  unlink(asks.sun_path);
  say("answer_to_none", sendto(fd = socket(AF_UNIX, SOCK_DGRAM, 0), "a", 1, 0, (void *)&sender, length));
  /* A relative name, in the working directory. */
  if (chdir(argv[3])) die(3, "chdir: %s", strerror(errno));
  struct sockaddr_un here = {.sun_family = AF_UNIX, .sun_path = "here"}, got = {0};
  fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  say("bind_here", bind(fd, (void *)&here, sizeof here));
  length = sizeof got;
  getsockname(fd, (void *)&got, &length);
  printf("\"here_name\":\"%s\",", got.sun_path);
  int from = socket(AF_UNIX, SOCK_DGRAM, 0);
  say("send_here", sendto(from, "d", 1, 0, (void *)&here, sizeof here));
  say("received_here", recv(fd, &byte, 1, MSG_DONTWAIT) == 1 ? 0 : -1);
  close(fd);
  own = at(argv[2], "made");
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  say("bind_hidden", bind(fd, (void *)&own, sizeof own));
  close(fd);
  unlink(own.sun_path);
  fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  say("seqpacket", fd);
  printf("\"end\":\"OK\"}\n");
  return 0;
}
