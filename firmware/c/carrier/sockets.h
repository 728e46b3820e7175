/* What the carrier does with single sockets: IPv4, never blocking. The carrier's own. */
#ifndef ESPSTRESS_SOCKETS_H
#define ESPSTRESS_SOCKETS_H

#include "espstress_device.h"

/* The library's name for an error number, which differ between C libraries. */
espstress_error espstress_error_of(int error);

/* Whether a call would have had to wait, so that there is no failure. */
bool espstress_would_block(int error);

/* 0, or -1 and errno. */
int espstress_unblock(int fd);

/* A socket of that type bound to a port, which it takes over from one before; -1 and errno when there is none.
 * The address is in network byte order, the port is not. */
int espstress_bind(uint32_t address, uint16_t port, int type);

/* The port that a socket is bound to. */
uint16_t espstress_port_of(int fd);

/* RST instead of FIN. A stack without SO_LINGER closes in its ordinary way. */
void espstress_abort(int fd);

/* Takes what the stack has to report of a socket; 0 for nothing. */
int espstress_pending_error(int fd);

/* Options of a connection. */
void espstress_prepare(int fd, espstress_keep_alive times);

/* Starts to connect: the socket, or -1 and what went wrong. A name, unlike an address, may take its time. */
int espstress_start_dial(const espstress_host *host, espstress_error *why);

#endif
