/* server.c, repaired: it reads the whole request before it answers and closes. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
                             "Connection: close\r\n\r\n";

/* Reads up to the empty line that ends a request's head, and keeps the first bytes. What stays unread when a socket is
 * closed makes lwIP send a RST instead of a FIN, and the client may lose the answer with it. */
static int read_request(int client, char *method, size_t room) {
  static const char end[] = "\r\n\r\n";
  size_t kept = 0, matched = 0;
  while (matched < sizeof end - 1) {
    char bytes[256];
    ssize_t n = recv(client, bytes, sizeof bytes, 0);
    if (n <= 0) return -1;
    for (ssize_t i = 0; i < n; i++) {
      if (kept < room - 1) method[kept++] = bytes[i];
      if (matched < sizeof end - 1) matched = bytes[i] == end[matched] ? matched + 1 : bytes[i] == end[0];
    }
  }
  method[kept] = '\0';
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
