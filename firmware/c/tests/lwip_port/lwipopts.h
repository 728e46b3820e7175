/* Options in the shape that ESP-IDF gives them, as far as the headers of the sockets depend on them. */
#define NO_SYS 0
#define LWIP_SOCKET 1
#define LWIP_NETCONN 1
#define LWIP_IPV6 0
#define LWIP_DNS 1
#define LWIP_SO_LINGER 1
#define SO_REUSE 1
#define LWIP_TCP_KEEPALIVE 1
#define LWIP_COMPAT_SOCKETS 1
#define LWIP_POSIX_SOCKETS_IO_NAMES 1
#define LWIP_SOCKET_POLL 1
#define LWIP_SOCKET_SELECT 1
/* newlib has its own. */
#define LWIP_TIMEVAL_PRIVATE 0
