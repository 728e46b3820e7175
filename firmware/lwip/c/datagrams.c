/* UDP without a socket: what a twin says of itself must not take one of the program's sockets. */
#include <errno.h>
#include <string.h>

#include "lwip/opt.h"
#include "lwip/udp.h"
#include "lwip/priv/tcpip_priv.h"
#include "shim.h"

#define LONGEST_REQUEST 512

static struct udp_pcb *pcb; /* the tcpip thread's */

static void received(void *arg, struct udp_pcb *of, struct pbuf *p, const ip_addr_t *from, u16_t port) {
  uint8_t flat[LONGEST_REQUEST];
  size_t len = pbuf_copy_partial(p, flat, sizeof flat, 0);
  LWIP_UNUSED_ARG(arg);
  LWIP_UNUSED_ARG(of);
  pbuf_free(p);
  esl_datagram(flat, len, ip_2_ip4(from)->addr, port);
}

struct call {
  struct tcpip_api_call_data call;
  const uint8_t *buf;
  size_t len;
  uint32_t ip;
  uint16_t port;
};

static err_t open_port(struct tcpip_api_call_data *data) {
  const struct call *c = (const struct call *)(const void *)data;
  err_t err;
  if (pcb != NULL) {
    return ERR_USE;
  }
  pcb = udp_new();
  if (pcb == NULL) {
    return ERR_MEM;
  }
  err = udp_bind(pcb, IP4_ADDR_ANY, c->port);
  if (err != ERR_OK) {
    udp_remove(pcb);
    pcb = NULL;
    return err;
  }
  udp_recv(pcb, received, NULL);
  return ERR_OK;
}

static err_t close_port(struct tcpip_api_call_data *data) {
  LWIP_UNUSED_ARG(data);
  if (pcb != NULL) {
    udp_remove(pcb);
    pcb = NULL;
  }
  return ERR_OK;
}

static err_t send_to(struct tcpip_api_call_data *data) {
  const struct call *c = (const struct call *)(const void *)data;
  ip_addr_t to;
  struct pbuf *p;
  err_t err;
  if (pcb == NULL) {
    return ERR_CONN;
  }
  p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)c->len, PBUF_RAM);
  if (p == NULL) {
    return ERR_MEM;
  }
  memcpy(p->payload, c->buf, c->len);
  ip_2_ip4(&to)->addr = c->ip;
  err = udp_sendto(pcb, p, &to, c->port);
  pbuf_free(p);
  return err;
}

static int number(err_t err) {
  switch (err) {
    case ERR_OK:   return 0;
    case ERR_MEM:  return -ENOMEM;
    case ERR_USE:  return -EADDRINUSE;
    case ERR_CONN: return -ENOTCONN;
    case ERR_RTE:  return -EHOSTUNREACH;
    default:       return -EIO;
  }
}

int esl_datagrams_open(uint16_t port) {
  struct call c;
  memset(&c, 0, sizeof c);
  c.port = port;
  return number(tcpip_api_call(open_port, &c.call));
}

void esl_datagrams_close(void) {
  struct call c;
  memset(&c, 0, sizeof c);
  tcpip_api_call(close_port, &c.call);
}

int esl_datagrams_send(const uint8_t *buf, size_t len, uint32_t ip, uint16_t port) {
  struct call c;
  memset(&c, 0, sizeof c);
  if (len > 0xffff) {
    return -EMSGSIZE;
  }
  c.buf = buf;
  c.len = len;
  c.ip = ip;
  c.port = port;
  return number(tcpip_api_call(send_to, &c.call));
}
