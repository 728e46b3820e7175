/* lwIP's options in the shape that ESP-IDF gives them.
 *
 * What a project may set in its sdkconfig is a variable here (esl_opt, filled by the Rust side before
 * the stack starts), so that one build serves every option set. init.c alone is compiled with
 * ESL_CONSTANT_OPTIONS: its preprocessor checks cannot look at variables, and the ranges they guard
 * are checked by the Rust side instead. */
#ifndef ESL_LWIPOPTS_H
#define ESL_LWIPOPTS_H

#include <stddef.h>
#include "esl_options.h"

/* ---- threads and memory: sockets over a tcpip thread, everything from one heap ---- */
#define NO_SYS                          0
#define SYS_LIGHTWEIGHT_PROT            1
#define LWIP_TCPIP_CORE_LOCKING         0
#define LWIP_TCPIP_CORE_LOCKING_INPUT   0
#define LWIP_NETCONN_SEM_PER_THREAD     1
#define LWIP_NETCONN_FULLDUPLEX         1
#define LWIP_TCPIP_TIMEOUT              1
#define LWIP_MPU_COMPATIBLE             0

void *esl_heap_alloc(size_t len);
void *esl_heap_calloc(size_t count, size_t len);
void esl_heap_free(void *mem);
#define MEM_CUSTOM_ALLOCATOR            1
#define MEM_CUSTOM_MALLOC               esl_heap_alloc
#define MEM_CUSTOM_CALLOC               esl_heap_calloc
#define MEM_CUSTOM_FREE                 esl_heap_free
#define MEMP_MEM_MALLOC                 1
#define MEM_ALIGNMENT                   8

/* Only the element size is taken from this one: pools do not exist. */
#define PBUF_POOL_BUFSIZE               1600

/* ---- link and IPv4 ---- */
#define LWIP_IPV4                       1
#define LWIP_IPV6                       0
#define LWIP_ETHERNET                   1
#define LWIP_ARP                        1
#define ARP_TABLE_SIZE                  10
#define ARP_QUEUEING                    1
#define LWIP_ICMP                       1
#define LWIP_RAW                        0
#define LWIP_DHCP                       0
#define LWIP_AUTOIP                     0
#define LWIP_ACD                        0
#define LWIP_DNS                        0
#define LWIP_IGMP                       1
#define LWIP_MULTICAST_TX_OPTIONS       1
#define LWIP_SOCKET_MAX_MEMBERSHIPS     16
#define IP_REASSEMBLY                   0
#define IP_FRAG                         1
#define LWIP_NETIF_TX_SINGLE_PBUF       1
#define LWIP_NETIF_LOOPBACK             1
#define LWIP_HAVE_LOOPIF                1
#define LWIP_LOOPBACK_MAX_PBUFS         8
#define LWIP_NETIF_API                  0
#define CHECKSUM_CHECK_IP               0
#define CHECKSUM_CHECK_UDP              0

/* ---- TCP ---- */
#define LWIP_TCP                        1
#define TCP_LISTEN_BACKLOG              1
#define TCP_DEFAULT_LISTEN_BACKLOG      255
#define LWIP_TCP_KEEPALIVE              1
#define LWIP_TCP_TIMESTAMPS             0
#define LWIP_TCP_SACK_OUT               0
/* Compiled in; whether it is offered and taken is an option (see build.rs). */
#define LWIP_WND_SCALE                  1
#define TCP_QUEUE_OOSEQ                 1
#define LWIP_RANDOMIZE_INITIAL_LOCAL_PORTS 1

#ifdef ESL_CONSTANT_OPTIONS
#define TCP_MSS                         1440
#define TCP_WND                         5760
#define TCP_SND_BUF                     5760
#define TCP_RCV_SCALE                   0
#define TCP_MAXRTX                      12
#define TCP_SYNMAXRTX                   12
#else
#define TCP_MSS                         esl_opt_tcp_mss
#define TCP_WND                         esl_opt_tcp_wnd
#define TCP_SND_BUF                     esl_opt_tcp_snd_buf
#define TCP_RCV_SCALE                   esl_opt_tcp_rcv_scale
#define TCP_MAXRTX                      esl_opt_tcp_maxrtx
#define TCP_SYNMAXRTX                   esl_opt_tcp_synmaxrtx
#endif

#define TCP_MSL                         esl_opt_tcp_msl
#define TCP_TMR_INTERVAL                esl_opt_tcp_tmr_interval
#define LWIP_TCP_RTO_TIME               esl_opt_tcp_rto_time
#define DEFAULT_TCP_RECVMBOX_SIZE       esl_opt_tcp_recvmbox
#define DEFAULT_UDP_RECVMBOX_SIZE       esl_opt_udp_recvmbox
#define DEFAULT_ACCEPTMBOX_SIZE         esl_opt_tcp_acceptmbox
#define TCPIP_MBOX_SIZE                 esl_opt_tcpip_recvmbox

/* ESP-IDF's default makes segments one MSS long. The switch has to be a constant, the length not. */
#define TCP_OVERSIZE                    1460
#define TCP_OVERSIZE_CALC_LENGTH(len)   ((len) + TCP_MSS)

/* ---- sockets ---- */
#define LWIP_SOCKET                     1
#define LWIP_NETCONN                    1
/* The length of the socket table; how much of it is used is an option (see build.rs). */
#define MEMP_NUM_NETCONN                ESL_SOCKETS_MAX
#define LWIP_COMPAT_SOCKETS             0
#define LWIP_SOCKET_SELECT              0
#define LWIP_SOCKET_POLL                1
#define LWIP_SO_SNDTIMEO                1
#define LWIP_SO_RCVTIMEO                1
#define LWIP_SO_RCVBUF                  0
#define LWIP_SO_LINGER                  1
#define SO_REUSE                        1
#define SO_REUSE_RXTOALL                1

/* ---- multicast DNS, for a device that announces itself (announce.c) ---- */
#define LWIP_MDNS_RESPONDER             1
#define LWIP_MDNS_SEARCH                0
#define LWIP_NUM_NETIF_CLIENT_DATA      1

/* ---- counters ---- */
#define LWIP_STATS                      1
#define LWIP_STATS_LARGE                1
#define MEM_STATS                       0
#define MEMP_STATS                      0
#define SYS_STATS                       0
#define MIB2_STATS                      1

#endif
