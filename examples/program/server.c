/* A small web server as a first firmware has it: one client at a time, plain sockets, nothing but libc. The same source
 * is an ESP-IDF component (call serve() from app_main()) and a Linux program:
 *
 *   cc -o server server.c
 *   espstress doctor twin --program ./server
 *
 * It has a fault. curl sees nothing of it. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
                             "Connection: close\r\n\r\n";

/* The method is all that this server wants to know: it reads the first bytes of the request. */
static int read_request(int client, char *method, size_t room) {
  ssize_t n = recv(client, method, room - 1, 0);
  if (n <= 0) return -1;
  method[n] = '\0';
  return 0;
}

static void serve_client(int client) {
  char method[5];
  if (read_request(client, method, sizeof method) == 0) {
    send(client, answer, sizeof answer - 1, 0);
    if (strncmp(method, "HEAD", 4) != 0) send(client, "ok\n", 3, 0);
  }
  close(client);
}

static int serve(int port) {
  struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
  struct timeval patience = { .tv_sec = 1 };
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&any, sizeof any) < 0 || listen(listener, 5) < 0) {
    perror("listen");
    return 1;
  }
  printf("listening on port %d\n", port);
  for (;;) {
    int client = accept(listener, NULL, NULL);
    if (client < 0) continue;
    /* A client that says nothing must not keep the others waiting. */
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    serve_client(client);
  }
}

int main(void) {
  return serve(80);
}
