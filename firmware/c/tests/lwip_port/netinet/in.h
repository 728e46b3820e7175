/* As in ESP-IDF's port of lwIP. */
#include <sys/socket.h>
