/* See carrier.h. The wishes of the device program, carried out on BSD sockets.
 *
 * poll() rather than select(): no limit on a host's descriptors, and lwIP and ESP-IDF have both; ESP-IDF's is made of
 * select(). Level-triggered, so that what is not waited for is left out of the set. Sockets do not block; the one call that may is getaddrinfo() for a host to dial
 * that is no address. */

/* What a host's C library hides under -std=c99. */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE 1

#include "carrier.h"
#include "sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A peer that is gone must not end the program by a signal; lwIP has no signals and the flag does nothing. */
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* Turns of one place, listener or datagram socket before others have theirs. */
enum { STEPS_AT_ONCE = 32, ACCEPTS_AT_ONCE = 16, DATAGRAMS_AT_ONCE = 8 };

/* How long to leave listeners alone when the stack could not accept: it needs memory or sockets, not haste. */
enum { ACCEPT_PAUSE_US = 10000 };

enum place_use { PLACE_EMPTY, PLACE_DIALLING, PLACE_STREAM, PLACE_LEAKED };

enum absence { PRESENT, OUT_OF_NETWORK, BOOTING };

static uint64_t now_us(const espstress_carrier *carrier)
{
    if (carrier->platform.now_us != NULL) {
        return carrier->platform.now_us(carrier->platform.context);
    }
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- listeners ---- */

/* Binds every service that is switched on. */
static bool bind_services(espstress_carrier *carrier)
{
    for (uint8_t service = 0; service < ESPSTRESS_TCP_SERVICES; service++) {
        if (!espstress_device_has(&carrier->device, service)) {
            continue;
        }
        int fd = espstress_bind(carrier->address, carrier->ports[service], SOCK_STREAM);
        if (fd < 0) {
            return false;
        }
        carrier->listeners[service] = fd;
        carrier->ports[service] = espstress_port_of(fd);
    }
    if (carrier->telemetry < 0 && espstress_device_has(&carrier->device, ESPSTRESS_SERVICE_TELEMETRY)) {
        carrier->telemetry = espstress_bind(carrier->address, carrier->ports[ESPSTRESS_SERVICE_TELEMETRY], SOCK_DGRAM);
        if (carrier->telemetry < 0) {
            return false;
        }
        carrier->ports[ESPSTRESS_SERVICE_TELEMETRY] = espstress_port_of(carrier->telemetry);
    }
    return true;
}

static bool listen_services(espstress_carrier *carrier)
{
    for (int service = 0; service < ESPSTRESS_TCP_SERVICES; service++) {
        if (carrier->listeners[service] >= 0 && listen(carrier->listeners[service], carrier->backlog) != 0) {
            return false;
        }
    }
    return true;
}

static void close_listeners(espstress_carrier *carrier)
{
    for (int service = 0; service < ESPSTRESS_TCP_SERVICES; service++) {
        if (carrier->listeners[service] >= 0) {
            close(carrier->listeners[service]);
        }
        carrier->listeners[service] = -1;
    }
}

static void drop_connections(espstress_carrier *carrier)
{
    for (int at = 0; at < ESPSTRESS_MAX_CONNECTIONS; at++) {
        if (carrier->places[at].use != PLACE_EMPTY) {
            espstress_abort(carrier->places[at].fd);
        }
        carrier->places[at].use = PLACE_EMPTY;
    }
}

/* ---- one connection ---- */

static void readings(espstress_carrier *carrier, espstress_readings *into)
{
    memset(into, 0, sizeof *into);
    if (carrier->platform.readings != NULL) {
        carrier->platform.readings(carrier->platform.context, into);
    }
}

static void close_place(espstress_place *place, espstress_close how)
{
    if (how == ESPSTRESS_CLOSE_LEAK) {
        place->use = PLACE_LEAKED;
        return;
    }
    if (how == ESPSTRESS_CLOSE_ABORT) {
        espstress_abort(place->fd);
    } else {
        close(place->fd);
    }
    place->use = PLACE_EMPTY;
}

/* Carries out a connection's wishes until the stack has to be waited for. */
static void drive(espstress_carrier *carrier, espstress_place *place, uint64_t now)
{
    espstress_connection *connection = &place->connection;
    espstress_readings read;
    ssize_t n;

    place->again = 0;
    place->ignored = 0;
    for (int step = 0; step < STEPS_AT_ONCE; step++) {
        espstress_wish wish = espstress_connection_next(connection, &carrier->device, now);
        switch (wish.kind) {
        case ESPSTRESS_WISH_KIND_READ:
            n = recv(place->fd, wish.space, wish.len, 0);
            if (n > 0) {
                espstress_connection_received(connection, (size_t)n);
            } else if (n == 0) {
                espstress_connection_peer_closed(connection);
            } else if (espstress_would_block(errno)) {
                place->interest = POLLIN;
                return;
            } else {
                espstress_connection_failed(connection, espstress_error_of(errno));
            }
            break;
        case ESPSTRESS_WISH_KIND_WRITE:
            n = send(place->fd, wish.bytes, wish.len, MSG_NOSIGNAL);
            if (n >= 0) {
                espstress_connection_sent(connection, (size_t)n);
            } else if (espstress_would_block(errno)) {
                place->interest = POLLOUT;
                return;
            } else {
                espstress_connection_failed(connection, espstress_error_of(errno));
            }
            break;
        case ESPSTRESS_WISH_KIND_READINGS:
            readings(carrier, &read);
            espstress_connection_provide(connection, &carrier->device, &read, now);
            break;
        case ESPSTRESS_WISH_KIND_SHUTDOWN_WRITE:
            /* Fails on a connection that is gone already, which reading will say. */
            (void)shutdown(place->fd, SHUT_WR);
            break;
        case ESPSTRESS_WISH_KIND_HOLD:
            place->interest = 0;
            return;
        case ESPSTRESS_WISH_KIND_CLOSE:
        default:
            close_place(place, wish.close);
            return;
        }
    }
    /* Still busy: comes back after the others. */
    place->interest = 0;
    place->again = 1;
}

static espstress_place *free_place(espstress_carrier *carrier)
{
    for (int at = 0; at < ESPSTRESS_MAX_CONNECTIONS; at++) {
        if (carrier->places[at].use == PLACE_EMPTY) {
            return &carrier->places[at];
        }
    }
    return NULL;
}

static void settle(espstress_carrier *carrier, espstress_place *place, int fd, espstress_keep_alive times, uint64_t now)
{
    place->fd = fd;
    place->use = PLACE_STREAM;
    espstress_prepare(fd, times);
    drive(carrier, place, now);
}

static void accept_from(espstress_carrier *carrier, uint8_t service, uint64_t now)
{
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        espstress_place *place = free_place(carrier);
        if (place == NULL || !espstress_device_admit(&carrier->device, service, now).accept) {
            return;
        }
        int fd = accept(carrier->listeners[service], NULL, NULL);
        if (fd < 0 && errno == ECONNABORTED) {
            /* The peer was gone before it was accepted; perhaps there are more behind it. */
            continue;
        }
        if (fd < 0) {
            if (!espstress_would_block(errno)) {
                espstress_device_count_error(&carrier->device, service, espstress_error_of(errno));
                carrier->accept_after_us = now + ACCEPT_PAUSE_US;
            }
            return;
        }
        if (espstress_unblock(fd) != 0) {
            close(fd);
            return;
        }
        espstress_connection_open(&place->connection, &carrier->device, service, now);
        settle(carrier, place, fd, espstress_device_keep_alive(&carrier->device), now);
    }
}

/* A connection that nothing is waited for may still fail. What cannot be acted on is not looked at again. */
static void note_failure(espstress_place *place, short found)
{
    if (place->interest == 0 && (found & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        int error = espstress_pending_error(place->fd);
        if (error != 0) {
            espstress_connection_failed(&place->connection, espstress_error_of(error));
        }
        place->ignored = 1;
    }
}

/* ---- dialling ---- */

static void dial(espstress_carrier *carrier, uint64_t now)
{
    espstress_host host;
    espstress_place *place = free_place(carrier);
    if (place == NULL || !espstress_device_dial(&carrier->device, now, &host)) {
        return;
    }
    espstress_error why;
    int fd = espstress_start_dial(&host, &why);
    if (fd < 0) {
        espstress_device_dial_failed(&carrier->device, why, now);
        return;
    }
    place->fd = fd;
    place->use = PLACE_DIALLING;
    uint32_t limit_ms = carrier->dial_ms != 0 ? carrier->dial_ms : espstress_device_dial_limit_ms(&carrier->device);
    carrier->dial_until_us = now + (uint64_t)limit_ms * 1000u;
}

static void follow_dial(espstress_carrier *carrier, espstress_place *place, short found, uint64_t now)
{
    espstress_error why = ESPSTRESS_ERROR_TIMED_OUT;
    if (found != 0) {
        int error = espstress_pending_error(place->fd);
        if (error == 0) {
            espstress_connection_open_dialled(&place->connection, &carrier->device, now);
            settle(carrier, place, place->fd, espstress_device_dial_keep_alive(&carrier->device), now);
            return;
        }
        why = espstress_error_of(error);
    } else if (now < carrier->dial_until_us) {
        return;
    }
    espstress_abort(place->fd);
    place->use = PLACE_EMPTY;
    espstress_device_dial_failed(&carrier->device, why, now);
}

/* ---- the device as a whole ---- */

static void answer_datagrams(espstress_carrier *carrier, uint64_t now)
{
    static const size_t LONGEST = ESPSTRESS_TELEMETRY_MAX;
    uint8_t datagram[64], answer[ESPSTRESS_TELEMETRY_MAX];
    for (int i = 0; i < DATAGRAMS_AT_ONCE; i++) {
        struct sockaddr_in asker;
        socklen_t asker_len = sizeof asker;
        ssize_t n = recvfrom(carrier->telemetry, datagram, sizeof datagram, 0, (struct sockaddr *)&asker, &asker_len);
        if (n < 0) {
            return;
        }
        espstress_readings read;
        readings(carrier, &read);
        size_t len = espstress_device_answer_datagram(&carrier->device, datagram, (size_t)n, &read, now, answer, LONGEST);
        if (len > 0) {
            /* What the stack does not take is lost, as datagrams are. */
            (void)sendto(carrier->telemetry, answer, len, 0, (struct sockaddr *)&asker, asker_len);
        }
    }
}

/* Drops every connection without goodbye. The ports are kept but nobody listens until the boot is over, so that
 * attempts are refused meanwhile. */
static void restart(espstress_carrier *carrier, espstress_reset reason)
{
    if (carrier->platform.restart != NULL) {
        carrier->platform.restart(carrier->platform.context, reason);
    }
    drop_connections(carrier);
    close_listeners(carrier);
    (void)bind_services(carrier);
    carrier->boot_reason = reason;
    carrier->absence = BOOTING;
    carrier->absent_until_us = now_us(carrier) + (uint64_t)carrier->boot_ms * 1000u;
}

static void fulfil(espstress_carrier *carrier, const espstress_device_wish *wish)
{
    const espstress_platform *platform = &carrier->platform;
    switch (wish->kind) {
    case ESPSTRESS_DEVICE_WISH_KIND_RESTART:
        restart(carrier, wish->reset);
        break;
    case ESPSTRESS_DEVICE_WISH_KIND_LEAVE_NETWORK:
        if (platform->leave_network != NULL) {
            platform->leave_network(platform->context, wish->duration_us);
        } else {
            carrier->absence = OUT_OF_NETWORK;
            carrier->absent_until_us = now_us(carrier) + wish->duration_us;
        }
        break;
    case ESPSTRESS_DEVICE_WISH_KIND_POWER_SAVE:
        if (platform->power_save != NULL) {
            platform->power_save(platform->context, wish->power_save);
        }
        break;
    case ESPSTRESS_DEVICE_WISH_KIND_HOARD:
        if (platform->hoard != NULL) {
            platform->hoard(platform->context, wish->bytes);
        }
        break;
    default: /* A device that hangs says so in each turn. */
        break;
    }
}

/* Milliseconds to wait, rounded up: a deadline that is looked at too early is looked at twice. */
static int wait_ms(uint64_t now, uint64_t until, int longest_ms)
{
    if (until <= now) {
        return 0;
    }
    uint64_t ms = (until - now + 999u) / 1000u;
    return ms < (uint64_t)longest_ms ? (int)ms : longest_ms;
}

/* Sees an absence through; whether there still is one. */
static bool is_absent(espstress_carrier *carrier, uint64_t now, int longest_wait_ms)
{
    if (carrier->absence == PRESENT) {
        return false;
    }
    if (now < carrier->absent_until_us) {
        /* ESP-IDF's poll() fails at once without a set, even an empty one. */
        struct pollfd nothing = {-1, 0, 0};
        (void)poll(&nothing, 0, wait_ms(now, carrier->absent_until_us, longest_wait_ms));
        return true;
    }
    if (carrier->absence == BOOTING) {
        bool there = true;
        for (uint8_t service = 0; service < ESPSTRESS_TCP_SERVICES; service++) {
            there = there && (carrier->listeners[service] >= 0) == espstress_device_has(&carrier->device, service);
        }
        if (!there || !listen_services(carrier)) {
            /* The stack has not let go of the ports yet. */
            close_listeners(carrier);
            (void)bind_services(carrier);
            carrier->absent_until_us = now + ACCEPT_PAUSE_US;
            return true;
        }
        espstress_device_restart(&carrier->device, carrier->boot_reason, now);
    }
    carrier->absence = PRESENT;
    return false;
}

/* Numbers of what can be watched: a listener has its service's, a place comes after them. */
enum { TELEMETRY = ESPSTRESS_TCP_SERVICES, PLACES = TELEMETRY + 1, ALL = PLACES + ESPSTRESS_MAX_CONNECTIONS };

/* What to wait for. Only sockets that are waited for: ESP-IDF's poll() looks at negative descriptors in its answer. */
struct watch {
    struct pollfd fds[ALL];
    int numbers[ALL];
    nfds_t count;
    uint64_t until;
};

static void add(struct watch *watch, int number, int fd, short events)
{
    watch->fds[watch->count].fd = fd;
    watch->fds[watch->count].events = events;
    watch->fds[watch->count].revents = 0;
    watch->numbers[watch->count] = number;
    watch->count++;
}

static void watch_listeners(espstress_carrier *carrier, struct watch *watch, uint64_t now)
{
    for (uint8_t service = 0; service < ESPSTRESS_TCP_SERVICES; service++) {
        if (carrier->listeners[service] < 0) {
            continue;
        }
        if (now < carrier->accept_after_us) {
            watch->until = earliest(watch->until, carrier->accept_after_us);
            continue;
        }
        espstress_admission admission = espstress_device_admit(&carrier->device, service, now);
        if (admission.accept) {
            add(watch, service, carrier->listeners[service], POLLIN);
        } else {
            watch->until = earliest(watch->until, admission.retry_at_us);
        }
    }
}

static void watch_places(espstress_carrier *carrier, struct watch *watch)
{
    for (int at = 0; at < ESPSTRESS_MAX_CONNECTIONS; at++) {
        espstress_place *place = &carrier->places[at];
        if (place->use == PLACE_DIALLING) {
            add(watch, PLACES + at, place->fd, POLLOUT);
            watch->until = earliest(watch->until, carrier->dial_until_us);
        } else if (place->use == PLACE_STREAM) {
            if (!place->ignored) {
                add(watch, PLACES + at, place->fd, place->interest);
            }
            uint64_t deadline = espstress_connection_deadline(&place->connection);
            watch->until = earliest(watch->until, place->again ? 0 : deadline);
        }
    }
}

static void visit(espstress_carrier *carrier, espstress_place *place, short found, uint64_t now)
{
    if (place->use == PLACE_DIALLING) {
        follow_dial(carrier, place, found, now);
    } else if (place->use == PLACE_STREAM) {
        note_failure(place, found);
        if (found != 0 || place->again || espstress_connection_deadline(&place->connection) <= now) {
            /* Driving looks at the connection anew; one that goes on holding stays ignored. */
            uint8_t ignored = place->ignored;
            drive(carrier, place, now);
            place->ignored = place->use == PLACE_STREAM && place->interest == 0 ? ignored : 0;
        }
    }
}

/* ---- what carrier.h offers ---- */

void espstress_carrier_defaults(espstress_carrier_setup *setup)
{
    memset(setup, 0, sizeof *setup);
    for (uint8_t service = 0; service < ESPSTRESS_SERVICES; service++) {
        setup->ports[service] = espstress_service_port(service);
    }
    setup->backlog = 6;
    setup->boot_ms = 300;
}

espstress_opened espstress_carrier_open(espstress_carrier *carrier, const espstress_carrier_setup *setup,
                                        espstress_status *status)
{
    memset(carrier, 0, sizeof *carrier);
    carrier->platform = setup->platform;
    carrier->address = setup->address;
    memcpy(carrier->ports, setup->ports, sizeof carrier->ports);
    carrier->backlog = setup->backlog;
    carrier->boot_ms = setup->boot_ms;
    carrier->dial_ms = setup->dial_ms;
    carrier->telemetry = -1;
    for (int service = 0; service < ESPSTRESS_TCP_SERVICES; service++) {
        carrier->listeners[service] = -1;
    }
    espstress_status made = espstress_device_init(&carrier->device, &setup->device, now_us(carrier));
    if (status != NULL) {
        *status = made;
    }
    if (made != ESPSTRESS_STATUS_OK) {
        return ESPSTRESS_BAD_DEVICE;
    }
    unsigned dialled = setup->device.dial_host != NULL ? 1 : 0;
    if (espstress_device_capacity(&carrier->device) + dialled > ESPSTRESS_MAX_CONNECTIONS) {
        return ESPSTRESS_TOO_MANY_CONNECTIONS;
    }
    if (!bind_services(carrier) || !listen_services(carrier)) {
        int error = errno;
        espstress_carrier_close(carrier);
        errno = error;
        return ESPSTRESS_NO_SOCKET;
    }
    return ESPSTRESS_OPENED;
}

uint16_t espstress_carrier_port(const espstress_carrier *carrier, uint8_t service)
{
    if (service == ESPSTRESS_SERVICE_TELEMETRY) {
        return carrier->telemetry >= 0 ? carrier->ports[service] : 0;
    }
    return service < ESPSTRESS_TCP_SERVICES && carrier->listeners[service] >= 0 ? carrier->ports[service] : 0;
}

void espstress_carrier_turn(espstress_carrier *carrier, int longest_wait_ms)
{
    struct watch watch;
    short found[ALL] = {0};
    uint64_t now = now_us(carrier);

    if (is_absent(carrier, now, longest_wait_ms)) {
        return;
    }
    for (;;) {
        espstress_device_wish wish = espstress_device_poll_wish(&carrier->device, now);
        if (wish.kind == ESPSTRESS_DEVICE_WISH_KIND_NOTHING) {
            break;
        }
        fulfil(carrier, &wish);
        if (carrier->absence != PRESENT) {
            return;
        }
    }

    bool hung = espstress_device_is_hung(&carrier->device);
    watch.count = 0;
    watch.until = espstress_device_next_wish_at(&carrier->device);
    if (carrier->telemetry >= 0) {
        add(&watch, TELEMETRY, carrier->telemetry, POLLIN);
    }
    if (!hung) {
        watch_listeners(carrier, &watch, now);
        watch_places(carrier, &watch);
        if (free_place(carrier) != NULL) {
            watch.until = earliest(watch.until, espstress_device_next_dial_at(&carrier->device));
        }
    }
    /* Interrupted or short of memory, it finds nothing: deadlines still count, readiness comes round again. */
    if (poll(watch.fds, watch.count, wait_ms(now, watch.until, longest_wait_ms)) > 0) {
        for (nfds_t i = 0; i < watch.count; i++) {
            found[watch.numbers[i]] = watch.fds[i].revents;
        }
    }

    now = now_us(carrier);
    if (found[TELEMETRY] != 0) {
        answer_datagrams(carrier, now);
    }
    if (hung) {
        return;
    }
    for (uint8_t service = 0; service < ESPSTRESS_TCP_SERVICES; service++) {
        if (found[service] != 0) {
            accept_from(carrier, service, now);
        }
    }
    for (int at = 0; at < ESPSTRESS_MAX_CONNECTIONS; at++) {
        visit(carrier, &carrier->places[at], found[PLACES + at], now);
    }
    dial(carrier, now);
}

void espstress_carrier_close(espstress_carrier *carrier)
{
    drop_connections(carrier);
    close_listeners(carrier);
    if (carrier->telemetry >= 0) {
        close(carrier->telemetry);
    }
    carrier->telemetry = -1;
}
