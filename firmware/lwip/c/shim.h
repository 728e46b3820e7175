/* The whole interface between lwIP and the Rust side: integers and byte buffers only, so that the
 * layout of lwIP's structures stays in C. src/ffi.rs mirrors this file.
 *
 * Calls that return int give a value of 0 or more, or the negative of an <errno.h> number. IPv4
 * addresses are four bytes in network order held in a u32_t; ports are in host order. */
#ifndef ESL_SHIM_H
#define ESL_SHIM_H

#include <stddef.h>
#include <stdint.h>

struct esl_start {
  uint32_t max_sockets, max_active_tcp, max_listening_tcp; /* control block limits: 0 is none */
  uint32_t tcp_mss, tcp_wnd, tcp_snd_buf, wnd_scale, tcp_rcv_scale, tcp_maxrtx, tcp_synmaxrtx;
  uint32_t tcp_msl, tcp_tmr_interval, tcp_rto_time, tcp_fin_wait_timeout;
  uint32_t tcp_recvmbox, udp_recvmbox, tcp_acceptmbox, tcpip_recvmbox;
  uint32_t ip, netmask, gateway;
  uint32_t mac_low, mac_high; /* first four bytes, last two */
  uint64_t seed;
};

struct esl_pollfd {
  int32_t fd;
  int16_t events, revents;
};

enum esl_option {
  ESL_NONBLOCKING, ESL_NODELAY, ESL_KEEPALIVE, ESL_KEEPIDLE_S, ESL_KEEPINTVL_S, ESL_KEEPCNT,
  ESL_RCVTIMEO_MS, ESL_SNDTIMEO_MS, ESL_REUSEADDR, ESL_LINGER_S, ESL_MULTICAST_TTL
};

#define ESL_STATES 11
#define ESL_PROTOCOLS 6

struct esl_protocol_counts {
  uint32_t sent, received, dropped, checksum_errors, memory_errors, other_errors;
};

struct esl_stats {
  uint32_t tcp_states[ESL_STATES]; /* indexed by lwIP's enum tcp_state */
  uint32_t tcp_bound;
  uint32_t tcp_pcbs, tcp_pcbs_refused, elements_refused;
  uint32_t tcp_retransmitted, tcp_resets_sent;
  struct esl_protocol_counts protocols[ESL_PROTOCOLS]; /* link, arp, ip, icmp, udp, tcp */
};

struct esl_connection {
  uint32_t local_ip, remote_ip;
  uint16_t local_port, remote_port;
  uint32_t state;
};

int esl_start(const struct esl_start *start);
int esl_input(const uint8_t *frame, size_t len);
void esl_get_stats(struct esl_stats *out);
size_t esl_get_connections(struct esl_connection *out, size_t room);
const char *esl_version(void);

int esl_socket_tcp(void);
int esl_socket_udp(void);
int esl_bind(int fd, uint32_t ip, uint16_t port);
int esl_listen(int fd, int backlog);
int esl_accept(int fd, uint32_t *ip, uint16_t *port);
int esl_connect(int fd, uint32_t ip, uint16_t port);
int esl_recv(int fd, uint8_t *buf, size_t len, int dont_wait);
int esl_send(int fd, const uint8_t *buf, size_t len, int dont_wait);
int esl_recv_from(int fd, uint8_t *buf, size_t len, int dont_wait, uint32_t *ip, uint16_t *port);
int esl_send_to(int fd, const uint8_t *buf, size_t len, uint32_t ip, uint16_t port);
int esl_shutdown(int fd, int how);
int esl_abort(int fd);
int esl_close(int fd);
int esl_set(int fd, int option, int value);
int esl_take_error(int fd);
int esl_local_addr(int fd, uint32_t *ip, uint16_t *port);
int esl_peer_addr(int fd, uint32_t *ip, uint16_t *port);
int esl_join_multicast(int fd, uint32_t group, uint32_t interface);
int esl_poll(struct esl_pollfd *fds, size_t count, int timeout_ms);

/* For programs written against another C library (calls.c): flags and options by that library's meaning. */
int esl_recv_flags(int fd, uint8_t *buf, size_t len, int peek, uint32_t *ip, uint16_t *port);
int esl_send_flags(int fd, const uint8_t *buf, size_t len, int dont_wait, int more);
int esl_ready(int fd); /* bits: 1 readable, 2 writable, 4 failed */
int esl_set_linux_option(int fd, int level, int name, const void *value, uint32_t len);
int esl_get_linux_option(int fd, int level, int name, void *value, uint32_t *len);
int esl_unread(int fd);

/* UDP without a socket (datagrams.c): one port at most. */
int esl_datagrams_open(uint16_t port);
void esl_datagrams_close(void);
int esl_datagrams_send(const uint8_t *buf, size_t len, uint32_t ip, uint16_t port);

/* Multicast DNS (announce.c): strings are a TXT record's, a byte of length before each. Once a process. */
int esl_announce(const char *name, uint16_t port, const uint8_t *strings, size_t len);
int esl_announce_again(const uint8_t *strings, size_t len);

void *esl_poll_sem(void);
void esl_poll_sem_signal(void *sem);
void esl_poll_sem_clear(void);
void esl_thread_is_no_task(void);
void esl_rand_seed(uint64_t seed);

/* Sizes of the structures above in their order, for a test that both sides agree. */
size_t esl_size_of(int which);

/* Implemented in Rust. */
void esl_output(const uint8_t *frame, size_t len);
void esl_socket_event(int fd);
void esl_datagram(const uint8_t *buf, size_t len, uint32_t ip, uint16_t port);

#endif
