/* The device program and its C carrier as a process on a host, for tests and for a first look. */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE 1

#include "carrier.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t stop;

static void on_signal(int signal_number)
{
    (void)signal_number;
    stop = 1;
}

/* What the hoarder persona keeps, each piece pointing to the one before. */
struct piece {
    struct piece *before;
};

/* An account of a heap and nothing more: what the persona hoards is taken from it. */
struct host {
    struct piece *hoard;
    espstress_heap heap;
    espstress_option options[2];
};

static void host_readings(void *context, espstress_readings *readings)
{
    struct host *host = context;
    readings->stack_name = "host-c";
    readings->stack_version = "BSD sockets";
    readings->options = host->options;
    readings->options_len = 2;
    if (host->heap.total_bytes > 0) {
        readings->heap = &host->heap;
    }
}

static void host_hoard(void *context, uint32_t bytes)
{
    struct host *host = context;
    if (host->heap.total_bytes > 0) {
        if (bytes > host->heap.free_bytes) {
            return;
        }
        host->heap.free_bytes -= bytes;
        host->heap.min_free_bytes = host->heap.free_bytes;
    }
    struct piece *piece = malloc(bytes > sizeof *piece ? bytes : sizeof *piece);
    if (piece != NULL) {
        piece->before = host->hoard;
        host->hoard = piece;
    }
}

static const char USAGE[] =
    "usage: espstress-host [options]\n"
    "  --port-base N     services on N, N+1, ... in the order http framed raw line telemetry (default :0, free ports;\n"
    "                    device for the ports that a device has)\n"
    "  --address A       IPv4 address to listen on (127.0.0.1)\n"
    "  --persona P       for example robust or deaf:after=2KiB\n"
    "  --services LIST   comma-separated, of http framed raw line telemetry (all)\n"
    "  --sockets N       of the device, listeners included (10)\n"
    "  --backlog N       of each listener (6)\n"
    "  --token T         bearer token of control requests\n"
    "  --name N --number N   of the device\n"
    "  --dial [mqtt:]HOST:PORT   a host to dial with the line protocol, or an MQTT broker\n"
    "  --mqtt-keep-alive S   of the MQTT client (15)\n"
    "  --line-timeout MS     of the line protocol (1500)\n"
    "  --boot MS         how long a restart takes (300)\n"
    "  --heap BYTES      keep account of a heap of that size\n";

static int refuse(const char *option, const char *why)
{
    fprintf(stderr, "espstress-host: %s: %s\n%s", option, why, USAGE);
    return 2;
}

/* A whole decimal number up to `most`. */
static bool number(const char *text, unsigned long most, unsigned long *value)
{
    char *end = NULL;
    errno = 0;
    *value = strtoul(text, &end, 10);
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *value <= most;
}

static bool services(const char *list, uint8_t *set)
{
    *set = 0;
    while (*list != '\0') {
        size_t len = strcspn(list, ",");
        uint8_t service = 0;
        while (service < ESPSTRESS_SERVICES) {
            const char *name = espstress_service_name(service);
            if (strlen(name) == len && strncmp(name, list, len) == 0) {
                break;
            }
            service++;
        }
        if (service == ESPSTRESS_SERVICES) {
            return false;
        }
        *set |= (uint8_t)(1u << service);
        list += len;
        list += *list == ',';
    }
    return *set != 0;
}

/* Reads one option and its value into the setup. */
static bool take(const char *option, char *value, espstress_carrier_setup *setup, struct host *host)
{
    espstress_config *device = &setup->device;
    unsigned long n = 0;
    if (strcmp(option, "--port-base") == 0) {
        if (strcmp(value, ":0") == 0) {
            return true;
        }
        if (strcmp(value, "device") == 0) {
            for (uint8_t service = 0; service < ESPSTRESS_SERVICES; service++) {
                setup->ports[service] = espstress_service_port(service);
            }
            return true;
        }
        if (!number(value, 65535 - ESPSTRESS_SERVICES, &n) || n == 0) {
            return false;
        }
        for (unsigned service = 0; service < ESPSTRESS_SERVICES; service++) {
            setup->ports[service] = (uint16_t)(n + service);
        }
    } else if (strcmp(option, "--address") == 0) {
        return inet_pton(AF_INET, value, &setup->address) == 1;
    } else if (strcmp(option, "--persona") == 0) {
        device->persona = value;
    } else if (strcmp(option, "--services") == 0) {
        return services(value, &device->services);
    } else if (strcmp(option, "--sockets") == 0 && number(value, 1000, &n)) {
        device->sockets = (uint16_t)n;
    } else if (strcmp(option, "--backlog") == 0 && number(value, 4096, &n)) {
        setup->backlog = (int)n;
    } else if (strcmp(option, "--token") == 0) {
        device->token = value;
    } else if (strcmp(option, "--name") == 0) {
        device->name = value;
    } else if (strcmp(option, "--number") == 0 && number(value, 255, &n)) {
        device->number = (uint8_t)n;
    } else if (strcmp(option, "--dial") == 0) {
        char *colon = strrchr(value, ':');
        if (colon == NULL || !number(colon + 1, 65535, &n)) {
            return false;
        }
        *colon = '\0';
        if (strncmp(value, "mqtt:", 5) == 0) {
            device->dial_protocol = ESPSTRESS_DIAL_MQTT;
            value += 5;
        }
        device->dial_host = value;
        device->dial_port = (uint16_t)n;
    } else if (strcmp(option, "--mqtt-keep-alive") == 0 && number(value, 65535, &n)) {
        device->mqtt_keep_alive_s = (uint16_t)n;
    } else if (strcmp(option, "--line-timeout") == 0 && number(value, 600000, &n)) {
        device->line_timeout_ms = (uint32_t)n;
    } else if (strcmp(option, "--boot") == 0 && number(value, 600000, &n)) {
        setup->boot_ms = (uint32_t)n;
    } else if (strcmp(option, "--heap") == 0 && number(value, UINT32_MAX - 1, &n)) {
        host->heap.total_bytes = host->heap.free_bytes = host->heap.min_free_bytes = (uint32_t)n;
    } else {
        return false;
    }
    return true;
}

static void print_addresses(const espstress_carrier *carrier)
{
    char address[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, &carrier->address, address, sizeof address);
    for (uint8_t service = 0; service < ESPSTRESS_SERVICES; service++) {
        uint16_t port = espstress_carrier_port(carrier, service);
        if (port != 0) {
            printf("{\"service\":\"%s\",\"address\":\"%s\",\"port\":%u}\n", espstress_service_name(service), address,
                   (unsigned)port);
        }
    }
}

int main(int argc, char **argv)
{
    static espstress_carrier carrier;
    static struct host host;
    espstress_carrier_setup setup;
    espstress_status status = ESPSTRESS_STATUS_OK;
    char backlog[12];

    espstress_carrier_defaults(&setup);
    memset(setup.ports, 0, sizeof setup.ports);
    setup.address = htonl(INADDR_LOOPBACK);
    host.heap.largest_free_block_bytes = ESPSTRESS_UNKNOWN;
    for (int at = 1; at < argc; at += 2) {
        if (at + 1 == argc || !take(argv[at], argv[at + 1], &setup, &host)) {
            return refuse(argv[at], "no such option, or not a value for it");
        }
    }
    setup.device.reset_reason = ESPSTRESS_RESET_POWER_ON;
    setup.platform.context = &host;
    setup.platform.readings = host_readings;
    setup.platform.hoard = host_hoard;
    snprintf(backlog, sizeof backlog, "%d", setup.backlog);
    host.options[0] = (espstress_option){"backlog", backlog};
    host.options[1] = (espstress_option){"link", "none: the host's own stack"};

    /* Without SA_RESTART, so that a signal ends the wait. */
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    switch (espstress_carrier_open(&carrier, &setup, &status)) {
    case ESPSTRESS_OPENED:
        break;
    case ESPSTRESS_BAD_DEVICE:
        return refuse("device", status == ESPSTRESS_STATUS_PERSONA ? "no such persona or parameter" : "a text is too long");
    case ESPSTRESS_TOO_MANY_CONNECTIONS:
        return refuse("--sockets", "more connections than ESPSTRESS_MAX_CONNECTIONS; build with a greater one");
    case ESPSTRESS_NO_SOCKET:
    default:
        fprintf(stderr, "espstress-host: cannot listen: %s\n", strerror(errno));
        return 3;
    }
    print_addresses(&carrier);
    printf("{\"capacity\":%u,\"version\":\"%s\"}\n", (unsigned)espstress_device_capacity(&carrier.device),
           espstress_version());
    fflush(stdout);
    while (!stop) {
        espstress_carrier_turn(&carrier, 1000);
    }
    espstress_carrier_close(&carrier);
    return 0;
}
