/* Start of the stack, its one Ethernet interface, and what can be counted. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "lwip/opt.h"
#include "lwip/init.h"
#include "lwip/tcpip.h"
#include "lwip/netif.h"
#include "lwip/etharp.h"
#include "lwip/snmp.h"
#include "lwip/stats.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/priv/tcpip_priv.h"
#include "netif/ethernet.h"
#include "esl_memp.h"
#include "shim.h"

#define MTU 1500
#define FRAME_MAX (MTU + SIZEOF_ETH_HDR)

unsigned int esl_opt_max_sockets;
unsigned int esl_opt_tcp_mss;
unsigned int esl_opt_tcp_wnd;
unsigned int esl_opt_tcp_snd_buf;
unsigned int esl_opt_wnd_scale;
unsigned int esl_opt_tcp_rcv_scale;
unsigned int esl_opt_tcp_maxrtx;
unsigned int esl_opt_tcp_synmaxrtx;
unsigned int esl_opt_tcp_msl;
unsigned int esl_opt_tcp_tmr_interval;
unsigned int esl_opt_tcp_rto_time;
unsigned int esl_opt_tcp_fin_wait_timeout;
unsigned int esl_opt_tcp_recvmbox;
unsigned int esl_opt_udp_recvmbox;
unsigned int esl_opt_tcp_acceptmbox;
unsigned int esl_opt_tcpip_recvmbox;

static struct netif interface;
static uint8_t mac[ETH_HWADDR_LEN];

static struct {
  pthread_mutex_t lock;
  pthread_cond_t done;
  int finished, result;
} started = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 };

static err_t link_output(struct netif *netif, struct pbuf *p) {
  static uint8_t flat[FRAME_MAX]; /* the tcpip thread alone sends */
  LWIP_UNUSED_ARG(netif);
  if (p->next == NULL) {
    esl_output((const uint8_t *)p->payload, p->len);
  } else {
    if (p->tot_len > sizeof flat) {
      LINK_STATS_INC(link.lenerr);
      return ERR_BUF;
    }
    pbuf_copy_partial(p, flat, p->tot_len, 0);
    esl_output(flat, p->tot_len);
  }
  LINK_STATS_INC(link.xmit);
  return ERR_OK;
}

static err_t interface_init(struct netif *netif) {
  netif->name[0] = 's';
  netif->name[1] = 't';
  netif->mtu = MTU;
  netif->hwaddr_len = ETH_HWADDR_LEN;
  memcpy(netif->hwaddr, mac, sizeof mac);
  netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_IGMP | NETIF_FLAG_LINK_UP;
  netif->output = etharp_output;
  netif->linkoutput = link_output;
  MIB2_INIT_NETIF(netif, snmp_ifType_ethernet_csmacd, 0);
  return ERR_OK;
}

static void add_interface(void *start) {
  const struct esl_start *s = (const struct esl_start *)start;
  ip4_addr_t ip, netmask, gateway;
  int ok;
  ip.addr = s->ip;
  netmask.addr = s->netmask;
  gateway.addr = s->gateway;
  ok = netif_add(&interface, &ip, &netmask, &gateway, NULL, interface_init, tcpip_input) != NULL;
  if (ok) {
    netif_set_default(&interface);
    netif_set_up(&interface);
  }
  pthread_mutex_lock(&started.lock);
  started.finished = 1;
  started.result = ok ? 0 : -ENOMEM;
  pthread_cond_signal(&started.done);
  pthread_mutex_unlock(&started.lock);
}

static void take_options(const struct esl_start *s) {
  esl_opt_max_sockets = s->max_sockets;
  esl_opt_tcp_mss = s->tcp_mss;
  esl_opt_tcp_wnd = s->tcp_wnd;
  esl_opt_tcp_snd_buf = s->tcp_snd_buf;
  esl_opt_wnd_scale = s->wnd_scale;
  esl_opt_tcp_rcv_scale = s->tcp_rcv_scale;
  esl_opt_tcp_maxrtx = s->tcp_maxrtx;
  esl_opt_tcp_synmaxrtx = s->tcp_synmaxrtx;
  esl_opt_tcp_msl = s->tcp_msl;
  esl_opt_tcp_tmr_interval = s->tcp_tmr_interval;
  esl_opt_tcp_rto_time = s->tcp_rto_time;
  esl_opt_tcp_fin_wait_timeout = s->tcp_fin_wait_timeout;
  esl_opt_tcp_recvmbox = s->tcp_recvmbox;
  esl_opt_udp_recvmbox = s->udp_recvmbox;
  esl_opt_tcp_acceptmbox = s->tcp_acceptmbox;
  esl_opt_tcpip_recvmbox = s->tcpip_recvmbox;
  esl_memp_set_limits(s->max_active_tcp, s->max_listening_tcp);
}

int esl_start(const struct esl_start *start) {
  struct esl_start copy = *start;
  int result;
  take_options(start);
  memcpy(mac, &start->mac_low, 4);
  memcpy(mac + 4, &start->mac_high, 2);
  esl_rand_seed(start->seed);
  tcpip_init(add_interface, &copy);
  pthread_mutex_lock(&started.lock);
  while (!started.finished) {
    pthread_cond_wait(&started.done, &started.lock);
  }
  result = started.result;
  pthread_mutex_unlock(&started.lock);
  return result;
}

/* A received frame lives on the device's heap, as a dynamic Wi-Fi receive buffer does. */
int esl_input(const uint8_t *frame, size_t len) {
  struct pbuf *p;
  if (len < SIZEOF_ETH_HDR || len > FRAME_MAX) {
    return -EMSGSIZE;
  }
  p = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);
  if (p == NULL) {
    return -ENOMEM;
  }
  memcpy(p->payload, frame, len);
  if (interface.input(p, &interface) != ERR_OK) {
    pbuf_free(p);
    return -ENOBUFS;
  }
  return 0;
}

const char *esl_version(void) {
  return LWIP_VERSION_STRING;
}

/* ---- readings, taken in the tcpip thread, which owns the lists ---- */

struct stats_call {
  struct tcpip_api_call_data call;
  struct esl_stats *out;
};

static struct esl_protocol_counts counts(const struct stats_proto *p) {
  struct esl_protocol_counts c;
  c.sent = p->xmit;
  c.received = p->recv;
  c.dropped = p->drop;
  c.checksum_errors = p->chkerr;
  c.memory_errors = p->memerr;
  c.other_errors = p->lenerr + p->rterr + p->proterr + p->opterr + p->err;
  return c;
}

static err_t collect_stats(struct tcpip_api_call_data *data) {
  struct esl_stats *out = ((struct stats_call *)(void *)data)->out;
  struct tcp_pcb *pcb;
  struct tcp_pcb_listen *listening;
  memset(out, 0, sizeof *out);
  for (pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
    out->tcp_states[pcb->state]++;
  }
  for (pcb = tcp_tw_pcbs; pcb != NULL; pcb = pcb->next) {
    out->tcp_states[TIME_WAIT]++;
  }
  for (pcb = tcp_bound_pcbs; pcb != NULL; pcb = pcb->next) {
    out->tcp_bound++;
  }
  for (listening = tcp_listen_pcbs.listen_pcbs; listening != NULL; listening = listening->next) {
    out->tcp_states[LISTEN]++;
  }
  out->tcp_pcbs = esl_memp_tcp_pcbs_used();
  out->tcp_pcbs_refused = esl_memp_tcp_pcbs_refused();
  out->elements_refused = esl_memp_refused();
  out->tcp_retransmitted = lwip_stats.mib2.tcpretranssegs;
  out->tcp_resets_sent = lwip_stats.mib2.tcpoutrsts;
  out->protocols[0] = counts(&lwip_stats.link);
  out->protocols[1] = counts(&lwip_stats.etharp);
  out->protocols[2] = counts(&lwip_stats.ip);
  out->protocols[3] = counts(&lwip_stats.icmp);
  out->protocols[4] = counts(&lwip_stats.udp);
  out->protocols[5] = counts(&lwip_stats.tcp);
  return ERR_OK;
}

void esl_get_stats(struct esl_stats *out) {
  struct stats_call call;
  memset(&call, 0, sizeof call);
  call.out = out;
  tcpip_api_call(collect_stats, &call.call);
}

struct connections_call {
  struct tcpip_api_call_data call;
  struct esl_connection *out;
  size_t room, found;
};

static void list_connections(struct connections_call *c, const struct tcp_pcb *pcb) {
  for (; pcb != NULL; pcb = pcb->next) {
    if (c->found < c->room) {
      struct esl_connection *row = &c->out[c->found];
      row->local_ip = ip_2_ip4(&pcb->local_ip)->addr;
      row->remote_ip = ip_2_ip4(&pcb->remote_ip)->addr;
      row->local_port = pcb->local_port;
      row->remote_port = pcb->remote_port;
      row->state = pcb->state;
    }
    c->found++;
  }
}

static err_t collect_connections(struct tcpip_api_call_data *data) {
  struct connections_call *c = (struct connections_call *)(void *)data;
  list_connections(c, tcp_active_pcbs);
  list_connections(c, tcp_tw_pcbs);
  return ERR_OK;
}

size_t esl_get_connections(struct esl_connection *out, size_t room) {
  struct connections_call call;
  memset(&call, 0, sizeof call);
  call.out = out;
  call.room = room;
  tcpip_api_call(collect_connections, &call.call);
  return call.found;
}
