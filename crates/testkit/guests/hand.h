/* A descriptor's way to another process: sent through a unix socket, and taken there, close-on-exec (SCM_RIGHTS, unix(7)). */
#ifndef HAND_H
#define HAND_H
#include "guest.h"
#include <sys/socket.h>

/* Sends a descriptor, and closes it here. */
static void hand_over(int to, int fd) {
  char space[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
  struct iovec iov = {&byte, 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (sendmsg(to, &message, 0) != 1) die(9, "sendmsg: %m");
  close(fd);
}

/* The descriptor that comes next. */
static int handed_over(int from) {
  char space[CMSG_SPACE(sizeof(int))], byte;
  struct iovec iov = {&byte, 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1) die(9, "nothing is handed over");
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (!header) die(9, "no descriptor");
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}
#endif
