/* The device program on BSD sockets: the loop between espstress_device.h and the stack.
 *
 * Plain C99 over the calls that lwIP has as well, so that one file serves a host and an ESP-IDF application. IPv4.
 * One thread, no allocation: everything is in the espstress_carrier, which can be static. */
#ifndef ESPSTRESS_CARRIER_H
#define ESPSTRESS_CARRIER_H

#include "espstress_device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Connections at once that there are places for, the dialled one included. A connection's place takes about
 * 3.7 KiB. At least the sockets of the configuration less one for each service. */
#ifndef ESPSTRESS_MAX_CONNECTIONS
#define ESPSTRESS_MAX_CONNECTIONS 16
#endif

#define ESPSTRESS_SERVICES 5
#define ESPSTRESS_TCP_SERVICES 4

/* What the carrier asks of the system around it. Every function may be NULL. */
typedef struct {
    /* Handed to each function. */
    void *context;
    /* Microseconds on a clock that only goes forward. NULL: clock_gettime(CLOCK_MONOTONIC). */
    uint64_t (*now_us)(void *context);
    /* Fills in what can be read now; what it points to stays valid until the next call. The readings come zeroed. */
    void (*readings)(void *context, espstress_readings *readings);
    /* Leaves the network and comes back so much later, by itself; returns at once. NULL: the carrier falls silent
     * for that long, while the stack goes on acknowledging. */
    void (*leave_network)(void *context, uint64_t duration_us);
    void (*power_save)(void *context, espstress_power_save mode);
    /* Allocates and never frees. */
    void (*hoard)(void *context, uint32_t bytes);
    /* Restarts the system; does not return on a board. NULL, or when it returns: the carrier drops every connection
     * and starts its device anew. */
    void (*restart)(void *context, espstress_reset reason);
} espstress_platform;

typedef struct {
    /* The device; all zero is the ordinary one. Texts are read during espstress_carrier_open. */
    espstress_config device;
    espstress_platform platform;
    /* Address to listen on, in network byte order; 0 means every one. */
    uint32_t address;
    /* Ports by service; 0 means a free one. */
    uint16_t ports[ESPSTRESS_SERVICES];
    /* Connections that the stack keeps for a listener. On lwIP no more than its accept mailbox holds. */
    int backlog;
    /* How long a restart takes, where the platform has none of its own. */
    uint32_t boot_ms;
    /* How long dialling may take; 0 means as long as the device program says. */
    uint32_t dial_ms;
} espstress_carrier_setup;

/* A place in the table. The carrier's own. */
typedef struct {
    int fd;
    uint8_t use;
    uint8_t service;
    uint8_t again;
    uint8_t ignored;
    short interest;
    espstress_connection connection;
} espstress_place;

/* The carrier's own. */
typedef struct {
    espstress_device device;
    espstress_platform platform;
    uint32_t address;
    uint16_t ports[ESPSTRESS_SERVICES];
    int backlog;
    uint32_t boot_ms;
    uint32_t dial_ms;
    int listeners[ESPSTRESS_TCP_SERVICES];
    int telemetry;
    uint8_t absence;
    espstress_reset boot_reason;
    uint64_t absent_until_us;
    uint64_t accept_after_us;
    uint64_t dial_until_us;
    espstress_place places[ESPSTRESS_MAX_CONNECTIONS];
} espstress_carrier;

/* What went wrong in espstress_carrier_open. */
typedef enum {
    ESPSTRESS_OPENED = 0,
    /* The device's setup; `status` says what. */
    ESPSTRESS_BAD_DEVICE,
    /* The setup has more connections than ESPSTRESS_MAX_CONNECTIONS. */
    ESPSTRESS_TOO_MANY_CONNECTIONS,
    /* The stack gave no socket or port; errno says why. */
    ESPSTRESS_NO_SOCKET
} espstress_opened;

/* Sets the ordinary ports, backlog and times, and everything else to zero. */
void espstress_carrier_defaults(espstress_carrier_setup *setup);

/* Sets up the device, and listens on the ports of its services. `status` may be NULL. */
espstress_opened espstress_carrier_open(espstress_carrier *carrier, const espstress_carrier_setup *setup,
                                        espstress_status *status);

/* The port of a service, in host byte order; 0 when it is switched off. */
uint16_t espstress_carrier_port(const espstress_carrier *carrier, uint8_t service);

/* Waits for something to happen, at most so many milliseconds, and does what is to be done. For ever again. */
void espstress_carrier_turn(espstress_carrier *carrier, int longest_wait_ms);

/* Closes every socket. */
void espstress_carrier_close(espstress_carrier *carrier);

#ifdef __cplusplus
}
#endif

#endif
