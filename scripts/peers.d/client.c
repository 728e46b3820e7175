/* The least that a client can do: HEAD over a new connection each, on one thread with epoll, the server closing
 * first. What it costs is what the kernel costs; what it measures is the latency that is there.
 *
 *   client [--ring] ADDRESS PORT AT_ONCE COUNT [RATE]
 *
 * With --ring the kernel copies the headers of each packet to a ring (TPACKET_V3, packet(7)), and a second thread gives
 * the blocks back without a look at them: the least that any capture costs. Needs CAP_NET_RAW.
 * Without RATE each connection that ends makes room for the next (closed loop). With RATE attempts begin at
 * start + n / RATE seconds by a timerfd (open loop), latency counts from there to the end of the response's head;
 * an attempt that finds AT_ONCE others under way begins late, and its latency says so.
 * Prints one line of JSON; status 1 when an attempt failed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

enum { TIMER = 0xffffffff, EVENTS = 64, HEAD_LIMIT = 2048 };
/* The ring is espstress's: 20 ms or 256 KiB at a time, 160 bytes of each packet, 8 MiB in all. */
enum { BLOCK = 256 << 10, BLOCKS = 32, FRAME = 2048, HOLD_MS = 20, SNAP = 160 };

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

static int ring_socket;
static char *ring;
static unsigned long long packets;
static int over;

static void set(int option, const void *value, socklen_t length) {
    if (setsockopt(ring_socket, SOL_PACKET, option, value, length) < 0) die("ring");
}

/* Gives every block back as it is, until the work is over and no block comes any more. */
static void *give_back(void *unused) {
    (void)unused;
    for (unsigned next = 0;; next = (next + 1) % BLOCKS) {
        struct tpacket_hdr_v1 *block = &((struct tpacket_block_desc *)(ring + (size_t)next * BLOCK))->hdr.bh1;
        while (!(__atomic_load_n(&block->block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
            struct pollfd ready = {.fd = ring_socket, .events = POLLIN | POLLERR};
            int n = poll(&ready, 1, 3 * HOLD_MS);
            if (n < 0 && errno != EINTR) die("poll");
            if (n == 0 && __atomic_load_n(&over, __ATOMIC_ACQUIRE)) return NULL;
        }
        packets += block->num_pkts;
        __atomic_store_n(&block->block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    }
}

/* TCP from or to the server's port, once each. */
static pthread_t watch(unsigned port) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 9),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 7),
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 14),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 3, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
        BPF_STMT(BPF_RET | BPF_K, SNAP),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog filter = {sizeof code / sizeof *code, code};
    int version = TPACKET_V3, yes = 1;
    struct tpacket_req3 request = {.tp_block_size = BLOCK, .tp_block_nr = BLOCKS, .tp_frame_size = FRAME,
        .tp_frame_nr = BLOCK / FRAME * BLOCKS, .tp_retire_blk_tov = HOLD_MS};
    struct sockaddr_ll everywhere = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)if_nametoindex("lo")};
    pthread_t thread;
    ring_socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (ring_socket < 0) die("ring");
    if (setsockopt(ring_socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0) die("filter");
    set(PACKET_VERSION, &version, sizeof version);
    set(PACKET_IGNORE_OUTGOING, &yes, sizeof yes);
    set(PACKET_RX_RING, &request, sizeof request);
    ring = mmap(NULL, (size_t)BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, ring_socket, 0);
    if (ring == MAP_FAILED) die("mmap");
    if (bind(ring_socket, (struct sockaddr *)&everywhere, sizeof everywhere) < 0) die("bind");
    if (pthread_create(&thread, NULL, give_back, NULL) != 0) die("thread");
    return thread;
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
    int watched = argc > 1 && strcmp(argv[1], "--ring") == 0;
    argc -= watched;
    argv += watched;
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "client [--ring] ADDRESS PORT AT_ONCE COUNT [RATE]\n");
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
    pthread_t watcher = watched ? watch((unsigned)atoi(argv[2])) : 0;
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
    if (watched) {
        struct tpacket_stats_v3 stats = {0};
        socklen_t length = sizeof stats;
        __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
        pthread_join(watcher, NULL);
        if (getsockopt(ring_socket, SOL_PACKET, PACKET_STATISTICS, &stats, &length) < 0) die("statistics");
        printf(", \"packets\": %llu, \"dropped\": %u", packets, stats.tp_drops);
    }
    printf("}\n");
    return failed != 0;
}
