/* Echo servers of every style a C program may have, by name: echo STYLE. Port 80, plain sockets, no library. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 32

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int listen_on(int port, int flags) {
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
  int s = socket(AF_INET, SOCK_STREAM | flags, 0), on = 1;
  if (s < 0) die("socket");
  if (setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) die("SO_REUSEADDR");
  if (bind(s, (struct sockaddr *)&a, sizeof a) < 0) die("bind");
  if (listen(s, 8) < 0) die("listen");
  return s;
}

/* Writes all; -1 at an error that is not an interruption. */
static int write_all(int fd, const char *buf, ssize_t n) {
  while (n > 0) {
    ssize_t w = write(fd, buf, n);
    if (w < 0 && errno == EINTR) continue;
    if (w < 0) return -1;
    buf += w;
    n -= w;
  }
  return 0;
}

static void serve(int c) {
  char buf[3000];
  for (;;) {
    ssize_t n = read(c, buf, sizeof buf);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || write_all(c, buf, n) < 0) break;
  }
  close(c);
}

static int accept_one(int s) {
  for (;;) {
    int c = accept(s, NULL, NULL);
    if (c >= 0) return c;
    if (errno != EINTR) die("accept");
  }
}

static void blocking(void) {
  int s = listen_on(80, 0);
  for (;;) serve(accept_one(s));
}

static void *thread(void *arg) {
  serve((int)(long)arg);
  return NULL;
}

static void threads(void) {
  int s = listen_on(80, 0);
  for (;;) {
    pthread_t id;
    pthread_create(&id, NULL, thread, (void *)(long)accept_one(s));
    pthread_detach(id);
  }
}

/* Non-blocking, with what could not be written yet. */
struct client {
  int fd;
  char buf[3000];
  ssize_t have;
};
static struct client clients[MOST];

static struct client *add(int fd) {
  for (int i = 0; i < MOST; i++) {
    if (clients[i].fd == 0) {
      clients[i].fd = fd;
      clients[i].have = 0;
      return &clients[i];
    }
  }
  close(fd);
  return NULL;
}

/* One step; 0 at the end of the connection, 1 when nothing more can be done now, 2 after some progress. */
static int step(struct client *c) {
  ssize_t n;
  if (c->have == 0) {
    n = recv(c->fd, c->buf, sizeof c->buf, 0);
    if (n == 0) return 0;
    if (n < 0) return errno == EAGAIN ? 1 : 0;
    c->have = n;
  }
  n = send(c->fd, c->buf, c->have, MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN ? 1 : 0;
  memmove(c->buf, c->buf + n, c->have - n);
  c->have -= n;
  return 2;
}

static void end(struct client *c) {
  close(c->fd);
  c->fd = 0;
}

static void polling(void) {
  int s = listen_on(80, SOCK_NONBLOCK);
  for (;;) {
    struct pollfd p[MOST + 1] = { { .fd = s, .events = POLLIN } };
    struct client *of[MOST + 1];
    int n = 1;
    for (int i = 0; i < MOST; i++) {
      if (clients[i].fd) {
        of[n] = &clients[i];
        p[n++] = (struct pollfd){ .fd = clients[i].fd, .events = clients[i].have ? POLLOUT : POLLIN };
      }
    }
    if (poll(p, n, -1) < 0) die("poll");
    for (int i = 1; i < n; i++) if (p[i].revents && step(of[i]) == 0) end(of[i]);
    if (p[0].revents) {
      int c = accept4(s, NULL, NULL, SOCK_NONBLOCK);
      if (c >= 0) add(c);
    }
  }
}

static void selecting(void) {
  int s = listen_on(80, SOCK_NONBLOCK);
  for (;;) {
    fd_set in, out;
    int most = s;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(s, &in);
    for (int i = 0; i < MOST; i++) {
      if (clients[i].fd) {
        FD_SET(clients[i].fd, clients[i].have ? &out : &in);
        if (clients[i].fd > most) most = clients[i].fd;
      }
    }
    if (select(most + 1, &in, &out, NULL, NULL) < 0) die("select");
    for (int i = 0; i < MOST; i++) {
      int fd = clients[i].fd;
      if (fd && (FD_ISSET(fd, &in) || FD_ISSET(fd, &out)) && step(&clients[i]) == 0) end(&clients[i]);
    }
    if (FD_ISSET(s, &in)) {
      int c = accept(s, NULL, NULL);
      if (c >= 0) {
        fcntl(c, F_SETFL, O_NONBLOCK);
        add(c);
      }
    }
  }
}

static void epolling(int edge) {
  int s = listen_on(80, SOCK_NONBLOCK), ep = epoll_create1(0);
  struct epoll_event e = { .events = EPOLLIN };
  epoll_ctl(ep, EPOLL_CTL_ADD, s, &e);
  for (;;) {
    struct epoll_event got[16];
    int n = epoll_wait(ep, got, 16, -1);
    for (int i = 0; i < n; i++) {
      struct client *c = got[i].data.ptr;
      if (c == NULL) {
        int fd = accept4(s, NULL, NULL, SOCK_NONBLOCK);
        if (fd >= 0 && (c = add(fd)) != NULL) {
          e.events = edge ? EPOLLIN | EPOLLOUT | EPOLLET : EPOLLIN;
          e.data.ptr = c;
          epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
        }
        continue;
      }
      int did = step(c);
      /* Edges come once: everything has to be done now. */
      while (edge && did == 2) did = step(c);
      if (did == 0) {
        end(c);
      } else if (!edge) {
        e.events = c->have ? EPOLLOUT : EPOLLIN;
        e.data.ptr = c;
        epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
      }
    }
  }
}

static void stdio(void) {
  int s = listen_on(80, 0);
  for (;;) {
    int c = accept_one(s);
    FILE *in = fdopen(c, "r"), *out = fdopen(dup(c), "w");
    char line[4096];
    while (fgets(line, sizeof line, in)) {
      fputs(line, out);
      fflush(out);
    }
    fclose(in);
    fclose(out);
  }
}

/* The connection on another descriptor, the first one closed. */
static void duplicated(void) {
  int s = listen_on(80, 0);
  for (;;) {
    int c = accept_one(s), d = dup(c), e = fcntl(d, F_DUPFD_CLOEXEC, 0);
    close(c);
    close(d);
    serve(e);
  }
}

/* As inetd does it: a child with the connection as standard input and output, and another program in it. */
static void forking(void) {
  int s = listen_on(80, 0);
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int c = accept_one(s);
    if (fork() == 0) {
      dup2(c, 0);
      dup2(c, 1);
      close(c);
      close(s);
      execlp("cat", "cat", (char *)NULL);
      _exit(1);
    }
    close(c);
  }
}

static void prefork(void) {
  int s = listen_on(80, 0);
  for (int i = 0; i < 3; i++) if (fork() == 0) for (;;) serve(accept_one(s));
  while (wait(NULL) > 0) {}
}

/* Several parts a message. */
static void messages(void) {
  int s = listen_on(80, 0);
  for (;;) {
    int c = accept_one(s);
    for (;;) {
      char a[100], b[700], d[2000];
      struct iovec v[3] = { { a, sizeof a }, { b, sizeof b }, { d, sizeof d } };
      struct msghdr m = { .msg_iov = v, .msg_iovlen = 3 };
      ssize_t n = recvmsg(c, &m, 0), left = n;
      if (n <= 0) break;
      for (int i = 0; i < 3; i++) {
        if ((ssize_t)v[i].iov_len > left) v[i].iov_len = left;
        left -= v[i].iov_len;
      }
      if (sendmsg(c, &m, 0) != n) die("a blocking sendmsg sends all");
    }
    close(c);
  }
}

static volatile unsigned long ticks;
static void tick(int signal) {
  (void)signal;
  ticks++;
}

/* A thousand signals a second on a program that only reads and writes. */
static void timer(int flags) {
  struct sigaction a = { .sa_handler = tick, .sa_flags = flags };
  struct itimerval each = { { 0, 1000 }, { 0, 1000 } };
  int s = listen_on(80, 0);
  sigaction(SIGALRM, &a, NULL);
  setitimer(ITIMER_REAL, &each, NULL);
  for (;;) {
    serve(accept_one(s));
    /* stdio drops what a signal keeps it from writing. */
    char line[40];
    if (write_all(1, line, snprintf(line, sizeof line, "ticks %lu\n", ticks)) < 0) die("write");
  }
}

int main(int argc, char **argv) {
  const char *style = argc > 1 ? argv[1] : "blocking";
  signal(SIGPIPE, SIG_IGN);
  if (!strcmp(style, "blocking")) blocking();
  if (!strcmp(style, "threads")) threads();
  if (!strcmp(style, "poll")) polling();
  if (!strcmp(style, "select")) selecting();
  if (!strcmp(style, "epoll")) epolling(0);
  if (!strcmp(style, "epoll-edge")) epolling(1);
  if (!strcmp(style, "stdio")) stdio();
  if (!strcmp(style, "dup")) duplicated();
  if (!strcmp(style, "fork")) forking();
  if (!strcmp(style, "prefork")) prefork();
  if (!strcmp(style, "sendmsg")) messages();
  if (!strcmp(style, "timer")) timer(0);
  if (!strcmp(style, "timer-restart")) timer(SA_RESTART);
  fprintf(stderr, "no such style: %s\n", style);
  return 2;
}
