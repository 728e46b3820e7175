/* Socket calls for programs that were written against another C library: flags, options and readiness as such a
 * program means them. The numbers are Linux's (asm-generic/socket.h), spelled out because lwIP defines the same
 * names with values of its own. */
#include <errno.h>
#include <string.h>

#include "lwip/opt.h"
#include "lwip/sockets.h"
#include "lwip/tcp.h"
#include "lwip/priv/api_msg.h"
#include "lwip/priv/sockets_priv.h"
#include "shim.h"

static int result(int ret) {
  if (ret >= 0) {
    return ret;
  }
  return errno > 0 ? -errno : -EIO;
}

int esl_recv_flags(int fd, uint8_t *buf, size_t len, int peek, uint32_t *ip, uint16_t *port) {
  struct sockaddr_in a;
  socklen_t addr_len = sizeof a;
  int ret;
  memset(&a, 0, sizeof a);
  ret = result((int)lwip_recvfrom(fd, buf, len, MSG_DONTWAIT | (peek ? MSG_PEEK : 0), (struct sockaddr *)&a, &addr_len));
  *ip = a.sin_addr.s_addr;
  *port = lwip_ntohs(a.sin_port);
  return ret;
}

int esl_send_flags(int fd, const uint8_t *buf, size_t len, int dont_wait, int more) {
  return result((int)lwip_send(fd, buf, len, (dont_wait ? MSG_DONTWAIT : 0) | (more ? MSG_MORE : 0)));
}

int esl_ready(int fd) {
  int bits = 0;
  const struct lwip_sock *sock = lwip_socket_dbg_get_socket(fd);
  SYS_ARCH_DECL_PROTECT(lev);
  if (sock == NULL || sock->conn == NULL) {
    return 4;
  }
  SYS_ARCH_PROTECT(lev);
  if (sock->lastdata.pbuf != NULL || sock->rcvevent > 0) {
    bits |= 1;
  }
  if (sock->sendevent) {
    bits |= 2;
  }
  if (sock->errevent) {
    bits |= 4;
  }
  SYS_ARCH_UNPROTECT(lev);
  return bits;
}

/* One option in both worlds. `one_byte`: lwIP has a byte where Linux has a byte or an int. */
struct option {
  int linux_level, linux_name, level, name, one_byte;
};

static const struct option options[] = {
  { 1, 2, SOL_SOCKET, SO_REUSEADDR, 0 },
  { 1, 3, SOL_SOCKET, SO_TYPE, 0 },
  { 1, 4, SOL_SOCKET, SO_ERROR, 0 },
  { 1, 6, SOL_SOCKET, SO_BROADCAST, 0 },
  { 1, 9, SOL_SOCKET, SO_KEEPALIVE, 0 },
  { 1, 13, SOL_SOCKET, SO_LINGER, 0 },
  { 1, 20, SOL_SOCKET, SO_RCVTIMEO, 0 },
  { 1, 21, SOL_SOCKET, SO_SNDTIMEO, 0 },
  { 1, 30, SOL_SOCKET, SO_ACCEPTCONN, 0 },
  { 6, 1, IPPROTO_TCP, TCP_NODELAY, 0 },
  { 6, 4, IPPROTO_TCP, TCP_KEEPIDLE, 0 },
  { 6, 5, IPPROTO_TCP, TCP_KEEPINTVL, 0 },
  { 6, 6, IPPROTO_TCP, TCP_KEEPCNT, 0 },
  { 0, 1, IPPROTO_IP, IP_TOS, 0 },
  { 0, 2, IPPROTO_IP, IP_TTL, 0 },
  { 0, 32, IPPROTO_IP, IP_MULTICAST_IF, 0 },
  { 0, 33, IPPROTO_IP, IP_MULTICAST_TTL, 1 },
  { 0, 34, IPPROTO_IP, IP_MULTICAST_LOOP, 1 },
  { 0, 35, IPPROTO_IP, IP_ADD_MEMBERSHIP, 0 },
  { 0, 36, IPPROTO_IP, IP_DROP_MEMBERSHIP, 0 },
};

static const struct option *find(int level, int name) {
  size_t i;
  for (i = 0; i < sizeof options / sizeof options[0]; i++) {
    if (options[i].linux_level == level && options[i].linux_name == name) {
      return &options[i];
    }
  }
  return NULL;
}

/* Longest value of any of them: a time. */
#define VALUE_MAX 16

int esl_set_linux_option(int fd, int level, int name, const void *value, uint32_t len) {
  const struct option *o = find(level, name);
  uint8_t copy[VALUE_MAX];
  if (o == NULL) {
    return -ENOPROTOOPT;
  }
  if (len > sizeof copy) {
    len = sizeof copy;
  }
  memcpy(copy, value, len);
  if (o->one_byte && len == sizeof(int)) {
    int whole;
    memcpy(&whole, copy, sizeof whole);
    copy[0] = (uint8_t)whole;
    len = 1;
  } else if (o->linux_level == 0 && o->linux_name == 32 && len >= 8) {
    memcpy(copy, copy + 4, 4); /* of a struct ip_mreqn the interface's address */
    len = 4;
  } else if (o->linux_level == 0 && (o->linux_name == 35 || o->linux_name == 36) && len > sizeof(struct ip_mreq)) {
    len = sizeof(struct ip_mreq); /* which a struct ip_mreqn begins with */
  }
  return result(lwip_setsockopt(fd, o->level, o->name, copy, len));
}

int esl_get_linux_option(int fd, int level, int name, void *value, uint32_t *len) {
  const struct option *o = find(level, name);
  socklen_t room = *len;
  int ret;
  if (o == NULL) {
    return -ENOPROTOOPT;
  }
  if (o->one_byte) {
    uint8_t byte = 0;
    socklen_t one = 1;
    int whole;
    ret = result(lwip_getsockopt(fd, o->level, o->name, &byte, &one));
    whole = byte;
    room = room < sizeof whole ? 1 : sizeof whole;
    memcpy(value, room == 1 ? (const void *)&byte : (const void *)&whole, room);
  } else {
    ret = result(lwip_getsockopt(fd, o->level, o->name, value, &room));
  }
  *len = room;
  return ret;
}

/* FIONREAD, in builds that have it. */
int esl_unread(int fd) {
  int n = 0;
  int ret = result(lwip_ioctl(fd, FIONREAD, &n));
  return ret < 0 ? ret : n;
}
