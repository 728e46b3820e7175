/* Programs that show one call each, by name: calls NAME. What they find out they print; port 80 is their server. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int listen_on(int port) {
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
  int s = socket(AF_INET, SOCK_STREAM, 0);
  if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof a) < 0 || listen(s, 5) < 0) {
    perror("listen");
    exit(1);
  }
  return s;
}

static struct sockaddr_in host(int port) {
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
  a.sin_addr.s_addr = inet_addr("192.168.4.1");
  return a;
}

static long long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

/* Everything that is said, to each client that asks. */
static char said[4000];
#define SAY(...) snprintf(said + strlen(said), sizeof said - strlen(said), __VA_ARGS__)
static void tell(int s) {
  for (;;) {
    int c = accept(s, NULL, NULL);
    if (c < 0) continue;
    if (write(c, said, strlen(said)) < 0) perror("write");
    close(c);
  }
}

/* A file as large as is asked for, over and over. */
static void send_file(int s, const char *path) {
  int f = open(path, O_RDONLY);
  off_t size = lseek(f, 0, SEEK_END);
  for (;;) {
    int c = accept(s, NULL, NULL);
    off_t at = 0;
    while (at < size && sendfile(c, f, &at, size - at) > 0) {}
    /* And once with the file's own offset, the first hundred bytes. */
    lseek(f, 0, SEEK_SET);
    if (sendfile(c, f, NULL, 100) != 100 || lseek(f, 0, SEEK_CUR) != 100) fprintf(stderr, "the file's offset\n");
    close(c);
  }
}

static void deaf(int s) {
  for (;;) if (accept(s, NULL, NULL) < 0) pause();
}

/* Answers without having read the request. */
static void unread(int s) {
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  for (;;) {
    int c = accept(s, NULL, NULL);
    char byte;
    if (c < 0) continue;
    if (read(c, &byte, 1) < 0 || write(c, answer, sizeof answer - 1) < 0) perror("answer");
    close(c);
  }
}

/* All the sockets there are, and one of them closed and opened again, 200 times. */
static void reopen(int s) {
  int fds[64], n = 0, failed = 0, error = 0;
  while (n < 64 && (fds[n] = socket(AF_INET, SOCK_STREAM, 0)) >= 0) n++;
  error = errno;
  for (int i = 0; i < 200; i++) {
    close(fds[i % n]);
    fds[i % n] = socket(AF_INET, i % 2 ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (fds[i % n] < 0) failed++;
  }
  SAY("opened %d, then %s; reopened 200, failed %d\n", n, strerrorname_np(error), failed);
  close(fds[0]);
  tell(s);
}

/* One socket is left, and each client takes it over from the one before: closed, and accepted at once, without waiting. */
static void take_over(int s) {
  int held = -1;
  fcntl(s, F_SETFL, O_NONBLOCK);
  for (int i = 0; i < 8; i++) if (socket(AF_INET, SOCK_STREAM, 0) < 0) perror("socket");
  for (;;) {
    struct pollfd p = { .fd = s, .events = POLLIN };
    if (poll(&p, 1, -1) < 0) continue;
    if (held >= 0) close(held);
    held = accept(s, NULL, NULL);
    if (held < 0) {
      perror("accept");
    } else if (write(held, "ok\n", 3) != 3) {
      perror("write");
    }
  }
}

static void refused(int s) {
  struct sockaddr_in a = host(9);
  int c = socket(AF_INET, SOCK_STREAM, 0), r = connect(c, (struct sockaddr *)&a, sizeof a);
  SAY("blocking %s\n", r < 0 ? strerrorname_np(errno) : "connected");
  close(c);
  c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  r = connect(c, (struct sockaddr *)&a, sizeof a);
  SAY("non-blocking %s\n", r < 0 ? strerrorname_np(errno) : "connected");
  struct pollfd p = { .fd = c, .events = POLLOUT };
  r = poll(&p, 1, 5000);
  int error = -1;
  socklen_t len = sizeof error;
  getsockopt(c, SOL_SOCKET, SO_ERROR, &error, &len);
  SAY("then poll %d and SO_ERROR %s\n", r, error ? strerrorname_np(error) : "none");
  close(c);
  tell(s);
}

/* Calls the host's port 7000 and sends a line, blocking and not. */
static void dials(int s) {
  struct sockaddr_in a = host(7000), me = { 0 };
  socklen_t len = sizeof me;
  int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int r = connect(c, (struct sockaddr *)&a, sizeof a);
  struct pollfd p = { .fd = c, .events = POLLOUT };
  SAY("connect %s, poll %d, ", r < 0 ? strerrorname_np(errno) : "done", poll(&p, 1, 5000));
  getsockname(c, (struct sockaddr *)&me, &len);
  SAY("from %s, ", inet_ntoa(me.sin_addr));
  len = sizeof me;
  getpeername(c, (struct sockaddr *)&me, &len);
  SAY("to %s:%d\n", inet_ntoa(me.sin_addr), ntohs(me.sin_port));
  if (write(c, "hello\n", 6) != 6) SAY("write failed\n");
  close(c);
  tell(s);
}

/* Not sooner than its time-out; how much later is the machine's affair. */
static void said_after(const char *call, int r, long long took, int timeout_ms) {
  SAY("%s %s ", call, r < 0 ? strerrorname_np(errno) : "done");
  if (took >= timeout_ms) SAY("after its time-out\n"); else SAY("after %lld ms of %d\n", took, timeout_ms);
}

static void timeout(int s) {
  struct timeval t = { 0, 300000 };
  char byte;
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
  long long from = now_ms();
  int r = accept(s, NULL, NULL);
  said_after("accept", r, now_ms() - from, 300);
  /* Who connects now comes to the next accept. */
  fputs("accept has ended\n", stderr);
  t = (struct timeval){ 0, 0 };
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
  int c = accept(s, NULL, NULL);
  t = (struct timeval){ 0, 200000 };
  setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
  from = now_ms();
  r = read(c, &byte, 1);
  said_after("read", r, now_ms() - from, 200);
  t = (struct timeval){ 9, 9 };
  socklen_t len = sizeof t;
  getsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &t, &len);
  SAY("SO_RCVTIMEO %ld.%06ld\n", (long)t.tv_sec, (long)t.tv_usec);
  close(c);
  tell(s);
}

static void option(const char *name, int s, int level, int option) {
  int value = 1;
  socklen_t len = sizeof value;
  int set = setsockopt(s, level, option, &value, sizeof value);
  const char *how = set < 0 ? strerrorname_np(errno) : "ok";
  value = -1;
  int got = getsockopt(s, level, option, &value, &len);
  SAY("%s %s ", name, how);
  if (got < 0) SAY("%s\n", strerrorname_np(errno)); else SAY("%d\n", value);
}

static void options(int s) {
  int c = socket(AF_INET, SOCK_STREAM, 0), u = socket(AF_INET, SOCK_DGRAM, 0), n = 0;
  option("SO_REUSEADDR", c, SOL_SOCKET, SO_REUSEADDR);
  option("SO_REUSEPORT", c, SOL_SOCKET, SO_REUSEPORT);
  option("SO_KEEPALIVE", c, SOL_SOCKET, SO_KEEPALIVE);
  option("SO_DOMAIN", c, SOL_SOCKET, SO_DOMAIN);
  option("SO_PROTOCOL", u, SOL_SOCKET, SO_PROTOCOL);
  option("SO_TYPE", u, SOL_SOCKET, SO_TYPE);
  option("TCP_NODELAY", c, IPPROTO_TCP, TCP_NODELAY);
  option("TCP_CORK", c, IPPROTO_TCP, TCP_CORK);
  option("IP_MULTICAST_TTL", u, IPPROTO_IP, IP_MULTICAST_TTL);
  SAY("FIONREAD %s\n", ioctl(c, FIONREAD, &n) < 0 ? strerrorname_np(errno) : "ok");
  SAY("AF_INET6 %s\n", socket(AF_INET6, SOCK_STREAM, 0) < 0 ? strerrorname_np(errno) : "ok");
  SAY("SOCK_RAW %s\n", socket(AF_INET, SOCK_RAW, 1) < 0 ? strerrorname_np(errno) : "ok");
  SAY("bad pointer %s\n", bind(c, (struct sockaddr *)8, 16) < 0 ? strerrorname_np(errno) : "ok");
  close(c);
  close(u);
  tell(s);
}

/* A name that nobody knows, and how long that takes to find out. */
static void names(int s) {
  struct addrinfo *list, hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
  long long from = now_ms();
  int r = getaddrinfo("broker.example", "1883", &hints, &list);
  SAY("%s within %lld s\n", r == 0 ? "found" : gai_strerror(r), (now_ms() - from) / 1000 + 1);
  tell(s);
}

/* A datagram service on port 7007: echoes, with a part cut off, and hears a multicast group. */
static void udp(int s) {
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(7007) }, from;
  int u = socket(AF_INET, SOCK_DGRAM, 0);
  struct ip_mreq group = { { inet_addr("239.1.2.3") }, { INADDR_ANY } };
  (void)s;
  if (bind(u, (struct sockaddr *)&a, sizeof a) < 0) perror("bind");
  if (setsockopt(u, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) < 0) perror("IP_ADD_MEMBERSHIP");
  for (;;) {
    char buf[64];
    socklen_t len = sizeof from;
    ssize_t n = recvfrom(u, buf, sizeof buf, MSG_TRUNC, (struct sockaddr *)&from, &len);
    char answer[200];
    if (n < 0) continue;
    int k = snprintf(answer, sizeof answer, "%zd %.*s from %s", n, (int)(n > 10 ? 10 : n), buf, inet_ntoa(from.sin_addr));
    sendto(u, answer, k, 0, (struct sockaddr *)&from, len);
  }
}

/* Crashes when it is told to, as a device may; serves until then. */
static void crash(int s) {
  for (;;) {
    int c = accept(s, NULL, NULL);
    char request[1000];
    ssize_t n = read(c, request, sizeof request - 1);
    if (n > 0) {
      request[n] = 0;
      if (strstr(request, "abort")) {
        printf("assert failed: the buffer is there\n");
        abort();
      }
      if (strstr(request, "exit")) exit(7);
      if (strstr(request, "segv")) raise(SIGSEGV);
    }
    if (write(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38) < 0) perror("write");
    close(c);
  }
}

/* Crashes at a request of its own choice. */
static void crash_after(int s, int requests) {
  while (requests-- > 0) {
    int c = accept(s, NULL, NULL);
    char request[1000];
    if (read(c, request, sizeof request) < 0 ||
        write(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 57) < 0) perror("answer");
    close(c);
  }
  printf("out of buffers\n");
  abort();
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : "";
  int s;
  signal(SIGPIPE, SIG_IGN);
  if (!strcmp(name, "never")) pause();
  s = listen_on(80);
  if (!strcmp(name, "sendfile")) send_file(s, argv[2]);
  if (!strcmp(name, "deaf")) deaf(s);
  if (!strcmp(name, "unread")) unread(s);
  if (!strcmp(name, "reopen")) reopen(s);
  if (!strcmp(name, "take-over")) take_over(s);
  if (!strcmp(name, "refused")) refused(s);
  if (!strcmp(name, "dials")) dials(s);
  if (!strcmp(name, "timeout")) timeout(s);
  if (!strcmp(name, "options")) options(s);
  if (!strcmp(name, "names")) names(s);
  if (!strcmp(name, "udp")) udp(s);
  if (!strcmp(name, "crash")) crash(s);
  if (!strcmp(name, "crash-after")) crash_after(s, atoi(argv[2]));
  fprintf(stderr, "no such name: %s\n", name);
  return 2;
}
