/* Sockets for the Rust side: one call each, addresses as integers, errors as return values. */
#include <errno.h>
#include <string.h>

#include "lwip/opt.h"
#include "lwip/sockets.h"
#include "lwip/tcp.h"
#include "shim.h"

_Static_assert(POLLIN == 1 && POLLOUT == 2 && POLLERR == 4 && POLLNVAL == 8 && POLLHUP == 0x200, "src/poll.rs");
_Static_assert(sizeof(struct pollfd) == sizeof(struct esl_pollfd), "same layout");
_Static_assert(offsetof(struct pollfd, events) == offsetof(struct esl_pollfd, events), "same layout");
_Static_assert(offsetof(struct pollfd, revents) == offsetof(struct esl_pollfd, revents), "same layout");

/* An interface's own failure (ERR_IF) is -1 in lwIP's table and has no name there. */
static int result(int ret) {
  if (ret >= 0) {
    return ret;
  }
  return errno > 0 ? -errno : -EIO;
}

static struct sockaddr_in address(uint32_t ip, uint16_t port) {
  struct sockaddr_in a;
  memset(&a, 0, sizeof a);
  a.sin_len = sizeof a;
  a.sin_family = AF_INET;
  a.sin_port = lwip_htons(port);
  a.sin_addr.s_addr = ip;
  return a;
}

static void split(const struct sockaddr_in *a, uint32_t *ip, uint16_t *port) {
  *ip = a->sin_addr.s_addr;
  *port = lwip_ntohs(a->sin_port);
}

int esl_socket_tcp(void) {
  return result(lwip_socket(AF_INET, SOCK_STREAM, 0));
}

int esl_socket_udp(void) {
  return result(lwip_socket(AF_INET, SOCK_DGRAM, 0));
}

int esl_bind(int fd, uint32_t ip, uint16_t port) {
  struct sockaddr_in a = address(ip, port);
  return result(lwip_bind(fd, (const struct sockaddr *)&a, sizeof a));
}

int esl_listen(int fd, int backlog) {
  return result(lwip_listen(fd, backlog));
}

int esl_accept(int fd, uint32_t *ip, uint16_t *port) {
  struct sockaddr_in a;
  socklen_t len = sizeof a;
  int ret;
  memset(&a, 0, sizeof a);
  ret = result(lwip_accept(fd, (struct sockaddr *)&a, &len));
  split(&a, ip, port);
  return ret;
}

int esl_connect(int fd, uint32_t ip, uint16_t port) {
  struct sockaddr_in a = address(ip, port);
  return result(lwip_connect(fd, (const struct sockaddr *)&a, sizeof a));
}

int esl_recv(int fd, uint8_t *buf, size_t len, int dont_wait) {
  return result((int)lwip_recv(fd, buf, len, dont_wait ? MSG_DONTWAIT : 0));
}

int esl_send(int fd, const uint8_t *buf, size_t len, int dont_wait) {
  return result((int)lwip_send(fd, buf, len, dont_wait ? MSG_DONTWAIT : 0));
}

int esl_recv_from(int fd, uint8_t *buf, size_t len, int dont_wait, uint32_t *ip, uint16_t *port) {
  struct sockaddr_in a;
  socklen_t addr_len = sizeof a;
  int ret;
  memset(&a, 0, sizeof a);
  ret = result((int)lwip_recvfrom(fd, buf, len, dont_wait ? MSG_DONTWAIT : 0, (struct sockaddr *)&a, &addr_len));
  split(&a, ip, port);
  return ret;
}

int esl_send_to(int fd, const uint8_t *buf, size_t len, uint32_t ip, uint16_t port) {
  struct sockaddr_in a = address(ip, port);
  return result((int)lwip_sendto(fd, buf, len, 0, (const struct sockaddr *)&a, sizeof a));
}

int esl_shutdown(int fd, int how) {
  static const int ways[] = { SHUT_RD, SHUT_WR, SHUT_RDWR };
  return result(lwip_shutdown(fd, ways[how]));
}

int esl_close(int fd) {
  return result(lwip_close(fd));
}

static int set_int(int fd, int level, int name, int value) {
  return result(lwip_setsockopt(fd, level, name, &value, sizeof value));
}

static int set_timeout(int fd, int name, int ms) {
  struct timeval t;
  t.tv_sec = ms / 1000;
  t.tv_usec = (ms % 1000) * 1000;
  return result(lwip_setsockopt(fd, SOL_SOCKET, name, &t, sizeof t));
}

/* A negative number of seconds switches lingering off. */
static int set_linger(int fd, int seconds) {
  struct linger l;
  l.l_onoff = seconds >= 0;
  l.l_linger = seconds >= 0 ? seconds : 0;
  return result(lwip_setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l));
}

static int set_multicast_ttl(int fd, int ttl) {
  u8_t value = (u8_t)ttl;
  return result(lwip_setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &value, sizeof value));
}

int esl_set(int fd, int option, int value) {
  switch ((enum esl_option)option) {
    case ESL_NONBLOCKING: return result(lwip_ioctl(fd, FIONBIO, &value));
    case ESL_NODELAY:     return set_int(fd, IPPROTO_TCP, TCP_NODELAY, value);
    case ESL_KEEPALIVE:   return set_int(fd, SOL_SOCKET, SO_KEEPALIVE, value);
    case ESL_KEEPIDLE_S:  return set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, value);
    case ESL_KEEPINTVL_S: return set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, value);
    case ESL_KEEPCNT:     return set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, value);
    case ESL_RCVTIMEO_MS: return set_timeout(fd, SO_RCVTIMEO, value);
    case ESL_SNDTIMEO_MS: return set_timeout(fd, SO_SNDTIMEO, value);
    case ESL_REUSEADDR:   return set_int(fd, SOL_SOCKET, SO_REUSEADDR, value);
    case ESL_LINGER_S:    return set_linger(fd, value);
    case ESL_MULTICAST_TTL: return set_multicast_ttl(fd, value);
  }
  return -EINVAL;
}

int esl_take_error(int fd) {
  int err = 0;
  socklen_t len = sizeof err;
  int ret = result(lwip_getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len));
  if (ret < 0) {
    return ret;
  }
  return err == 0 ? 0 : (err > 0 ? -err : -EIO);
}

int esl_local_addr(int fd, uint32_t *ip, uint16_t *port) {
  struct sockaddr_in a;
  socklen_t len = sizeof a;
  int ret;
  memset(&a, 0, sizeof a);
  ret = result(lwip_getsockname(fd, (struct sockaddr *)&a, &len));
  split(&a, ip, port);
  return ret;
}

int esl_peer_addr(int fd, uint32_t *ip, uint16_t *port) {
  struct sockaddr_in a;
  socklen_t len = sizeof a;
  int ret;
  memset(&a, 0, sizeof a);
  ret = result(lwip_getpeername(fd, (struct sockaddr *)&a, &len));
  split(&a, ip, port);
  return ret;
}

int esl_join_multicast(int fd, uint32_t group, uint32_t interface) {
  struct ip_mreq request;
  request.imr_multiaddr.s_addr = group;
  request.imr_interface.s_addr = interface;
  return result(lwip_setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request));
}

int esl_poll(struct esl_pollfd *fds, size_t count, int timeout_ms) {
  int ret = lwip_poll((struct pollfd *)(void *)fds, (nfds_t)count, timeout_ms);
  /* A socket that another thread closed meanwhile ends the wait; errno is not set for it. */
  return ret < 0 ? -EBADF : ret;
}
