/* A C library with errno and clocks, and no sockets of its own. */
#include <errno.h>
#include <sys/time.h>
#include <unistd.h>
