/* The device announced by lwIP's own multicast DNS responder (RFC 6762, RFC 6763), for those who ask for it: it takes
 * about 1.3 KB of the heap, which a device under test has other uses for. */
#include <errno.h>
#include <string.h>

#include "lwip/opt.h"
#include "lwip/apps/mdns.h"
#include "lwip/mem.h"
#include "lwip/netif.h"
#include "lwip/priv/tcpip_priv.h"
#include "esl_memp.h"
#include "shim.h"

/* What lwIP has room for in one TXT record. */
#define TXT_MAX 255
/* Timers that the responder may have set at once. */
#define TIMERS 8
/* What it takes from the heap, and what its first messages do. */
#define ROOM 3000

static uint8_t txt[TXT_MAX]; /* strings, a byte of length before each; the tcpip thread's */
static size_t txt_len;
static int announced;

struct call {
  struct tcpip_api_call_data call;
  const char *name;
  uint16_t port;
  const uint8_t *txt;
  size_t len;
};

static void say_txt(struct mdns_service *service, void *arg) {
  size_t at = 0;
  LWIP_UNUSED_ARG(arg);
  while (at < txt_len && at + txt[at] < txt_len) {
    if (mdns_resp_add_service_txtitem(service, (const char *)&txt[at + 1], txt[at]) != ERR_OK) {
      return;
    }
    at += 1u + txt[at];
  }
}

static void take_txt(const struct call *c) {
  memcpy(txt, c->txt, c->len);
  txt_len = c->len;
}

static err_t begin(struct tcpip_api_call_data *data) {
  const struct call *c = (const struct call *)(const void *)data;
  struct netif *interface = netif_default;
  void *room;
  err_t err;
  if (announced || interface == NULL) {
    return ERR_USE;
  }
  /* The responder takes it for a defect when there is no memory for its control block. */
  room = mem_malloc(ROOM);
  if (room == NULL || !esl_memp_add_timeouts(TIMERS)) {
    mem_free(room);
    return ERR_MEM;
  }
  mem_free(room);
  announced = 1;
  take_txt(c);
  mdns_resp_init();
  err = mdns_resp_add_netif(interface, c->name);
  if (err != ERR_OK) {
    return err;
  }
  if (mdns_resp_add_service(interface, c->name, "_espstress", DNSSD_PROTO_TCP, c->port, say_txt, NULL) < 0) {
    return ERR_MEM;
  }
  return ERR_OK;
}

static err_t change(struct tcpip_api_call_data *data) {
  if (!announced) {
    return ERR_CONN;
  }
  take_txt((const struct call *)(const void *)data);
  mdns_resp_announce(netif_default);
  return ERR_OK;
}

static int number(err_t err) {
  switch (err) {
    case ERR_OK:   return 0;
    case ERR_USE:  return -EADDRINUSE;
    case ERR_CONN: return -ENOTCONN;
    case ERR_VAL:  return -EINVAL;
    default:       return -ENOMEM;
  }
}

int esl_announce(const char *name, uint16_t port, const uint8_t *strings, size_t len) {
  struct call c;
  memset(&c, 0, sizeof c);
  if (len > TXT_MAX || strlen(name) > MDNS_LABEL_MAXLEN) {
    return -EMSGSIZE;
  }
  c.name = name;
  c.port = port;
  c.txt = strings;
  c.len = len;
  return number(tcpip_api_call(begin, &c.call));
}

int esl_announce_again(const uint8_t *strings, size_t len) {
  struct call c;
  memset(&c, 0, sizeof c);
  if (len > TXT_MAX) {
    return -EMSGSIZE;
  }
  c.txt = strings;
  c.len = len;
  return number(tcpip_api_call(change, &c.call));
}
