/* As ESP-IDF's own <poll.h> does in front of its virtual file system: lwIP has the types. */
#include <sys/socket.h>
