/* See sockets.h. */

/* What a host's C library hides under -std=c99. */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE 1

#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The library's name for an error number, which differ between C libraries. */
espstress_error espstress_error_of(int error)
{
    switch (error) {
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
        return ESPSTRESS_ERROR_RESET;
    case ETIMEDOUT:
        return ESPSTRESS_ERROR_TIMED_OUT;
    case ECONNREFUSED:
        return ESPSTRESS_ERROR_REFUSED;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
        return ESPSTRESS_ERROR_UNREACHABLE;
    case ENOMEM:
    case ENOBUFS:
        return ESPSTRESS_ERROR_OUT_OF_MEMORY;
    case EMFILE:
    case ENFILE:
        return ESPSTRESS_ERROR_OUT_OF_SOCKETS;
    default:
        return ESPSTRESS_ERROR_OTHER;
    }
}

/* EAGAIN and EWOULDBLOCK are one number in most places, and then may not both be case labels. */
bool espstress_would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

int espstress_unblock(int fd)
{
    int flags = fcntl(fd, F_GETFL, 0);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* A socket bound to a port, which takes over the port of one from before. -1 and errno when there is none. */
int espstress_bind(uint32_t address, uint16_t port, int type)
{
    int fd = socket(AF_INET, type, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    struct sockaddr_in name;
    memset(&name, 0, sizeof name);
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = address;
    name.sin_port = htons(port);
    /* Connections from before a restart may still be in TIME_WAIT. Where the option is compiled out, the bind tells. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (espstress_unblock(fd) == 0 && bind(fd, (struct sockaddr *)&name, sizeof name) == 0) {
        return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

uint16_t espstress_port_of(int fd)
{
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    memset(&name, 0, sizeof name);
    return getsockname(fd, (struct sockaddr *)&name, &len) == 0 ? ntohs(name.sin_port) : 0;
}

/* RST instead of FIN. A stack without SO_LINGER closes in its ordinary way. */
void espstress_abort(int fd)
{
    struct linger at_once = {1, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

int espstress_pending_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

/* Options are wishes to the stack: a socket that takes none is one whose connection has failed. */
void espstress_prepare(int fd, espstress_keep_alive times)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (times.count == 0) {
        return;
    }
    int idle = (int)times.idle_s, interval = (int)times.interval_s, count = (int)times.count;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

/* Starts to connect; the socket, or -1 and what went wrong. */
int espstress_start_dial(const espstress_host *host, espstress_error *why)
{
    struct addrinfo hints, *found = NULL;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    *why = ESPSTRESS_ERROR_UNREACHABLE;
    if (getaddrinfo(host->name, NULL, &hints, &found) != 0 || found == NULL) {
        return -1;
    }
    struct sockaddr_in name;
    memcpy(&name, found->ai_addr, sizeof name);
    name.sin_port = htons(host->port);
    freeaddrinfo(found);

    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && espstress_unblock(fd) == 0 &&
        (connect(fd, (struct sockaddr *)&name, sizeof name) == 0 || errno == EINPROGRESS)) {
        return fd;
    }
    *why = espstress_error_of(errno);
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}
