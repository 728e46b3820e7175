/* The least that a client can do: HEAD over a new connection each, on one thread with epoll, the server closing
 * first. What it costs is what the kernel costs; what it measures is the latency that is there.
 *
 *   client ADDRESS PORT AT_ONCE COUNT [RATE]
 *
 * Without RATE each connection that ends makes room for the next (closed loop). With RATE attempts begin at
 * start + n / RATE seconds by a timerfd (open loop), latency counts from there to the end of the response's head;
 * an attempt that finds AT_ONCE others under way begins late, and its latency says so.
 * Prints one line of JSON; status 1 when an attempt failed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { TIMER = 0xffffffff, EVENTS = 64, HEAD_LIMIT = 2048 };

struct slot {
    int fd;
    uint64_t intended;
    size_t received;
    int asked, answered;
    char head[HEAD_LIMIT];
};

static struct sockaddr_in server;
static char request[256];
static size_t request_length;
static struct slot *slots;
static unsigned *free_slots, free_count, at_once;
static int epoll_fd;
static uint64_t count, begun, ended, failed, start, interval;
static uint64_t *latencies, measured;

static void die(const char *what) {
    perror(what);
    exit(3);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void begin(void) {
    unsigned index = free_slots[--free_count];
    struct slot *s = &slots[index];
    s->intended = start + begun * interval;
    s->received = 0;
    s->asked = s->answered = 0;
    begun++;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) die("socket");
    if (connect(s->fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) die("connect");
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = index};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &e) < 0) die("epoll_ctl");
}

static void end(struct slot *s) {
    close(s->fd);
    free_slots[free_count++] = (unsigned)(s - slots);
    ended++;
    if (!s->answered) failed++;
}

/* Reads what is there; 1 when the connection is over. */
static int receive(struct slot *s) {
    for (;;) {
        ssize_t n = read(s->fd, s->head + s->received, HEAD_LIMIT - s->received);
        if (n < 0 && errno == EAGAIN) return 0;
        if (n <= 0) return 1;
        if (s->answered) continue;
        s->received += (size_t)n;
        if (memmem(s->head, s->received, "\r\n\r\n", 4)) {
            s->answered = s->received > 12 && memcmp(s->head, "HTTP/1.1 200", 12) == 0;
            if (latencies) latencies[measured++] = now() - s->intended;
            s->received = 0;
            if (!s->answered) return 1;
        } else if (s->received == HEAD_LIMIT) {
            return 1;
        }
    }
}

static void turn(struct slot *s, uint32_t events) {
    if (!s->asked && events & EPOLLOUT) {
        s->asked = 1;
        if (send(s->fd, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length) {
            end(s);
            return;
        }
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && receive(s)) end(s);
}

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double quantile_us(double q) {
    if (!measured) return 0;
    uint64_t rank = (uint64_t)(q * (double)measured);
    return (double)latencies[rank < measured ? rank : measured - 1] / 1000;
}

int main(int argc, char **argv) {
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "client ADDRESS PORT AT_ONCE COUNT [RATE]\n");
        return 2;
    }
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) die("address");
    at_once = (unsigned)atoi(argv[3]);
    count = strtoull(argv[4], NULL, 10);
    uint64_t rate = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
    if (!at_once || !count) die("AT_ONCE and COUNT");
    request_length = (size_t)snprintf(request, sizeof request,
        "HEAD / HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: client\r\nConnection: close\r\n\r\n", argv[1], argv[2]);
    slots = calloc(at_once, sizeof *slots);
    free_slots = calloc(at_once, sizeof *free_slots);
    if (!slots || !free_slots) die("memory");
    for (unsigned i = 0; i < at_once; i++) free_slots[free_count++] = at_once - 1 - i;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) die("epoll_create1");

    uint64_t due = count;
    int timer = -1;
    start = now();
    if (rate) {
        latencies = calloc(count, sizeof *latencies);
        if (!latencies) die("memory");
        interval = 1000000000 / rate;
        start += 1000000;
        due = 0;
        timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        struct itimerspec t = {
            .it_interval = {.tv_sec = (time_t)(interval / 1000000000), .tv_nsec = (long)(interval % 1000000000)},
            .it_value = {.tv_sec = (time_t)(start / 1000000000), .tv_nsec = (long)(start % 1000000000)}};
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = TIMER};
        if (timer < 0 || timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, NULL) < 0 ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &e) < 0)
            die("timerfd");
    }
    while (ended < count) {
        while (begun < due && free_count) begin();
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.u32 == (uint32_t)TIMER) {
                uint64_t expirations = 0;
                if (read(timer, &expirations, sizeof expirations) == sizeof expirations) due += expirations;
                if (due > count) due = count;
            } else {
                turn(&slots[events[i].data.u32], events[i].events);
            }
        }
    }
    double seconds = (double)(now() - start) / 1e9;
    if (latencies) qsort(latencies, measured, sizeof *latencies, ascending);
    printf("{\"attempts\": %llu, \"failed\": %llu, \"seconds\": %.6f", (unsigned long long)count,
        (unsigned long long)failed, seconds);
    if (latencies)
        printf(", \"p50_us\": %.3f, \"p90_us\": %.3f, \"p99_us\": %.3f, \"max_us\": %.3f", quantile_us(0.5),
            quantile_us(0.9), quantile_us(0.99), quantile_us(1.0));
    printf("}\n");
    return failed != 0;
}
