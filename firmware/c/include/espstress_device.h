/* The device program behind a C interface. Generated from the sources by cbindgen: do not edit.
 *
 * Call order: espstress_device_init once; then, for ever: espstress_device_poll_wish until it is NOTHING,
 * espstress_device_admit before an accept, espstress_connection_open for each accepted connection, and for each
 * connection espstress_connection_next, whose wish is carried out and reported before the next call.
 *
 * Everything belongs to one thread at a time; the program keeps no pointer that it was given, but for those of
 * the wish that espstress_connection_next returned, which are the connection's own and end with the next call. */


#ifndef ESPSTRESS_DEVICE_H
#define ESPSTRESS_DEVICE_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

// A time that never comes, and an interval that never ends, in microseconds.
#define ESPSTRESS_NEVER UINT64_MAX

// A reading that the device does not have.
#define ESPSTRESS_UNKNOWN UINT32_MAX

// The signal strength of a station that is not associated.
#define ESPSTRESS_NO_RSSI INT16_MIN

// Longest telemetry in bytes: room for an answer to a datagram.
#define ESPSTRESS_TELEMETRY_MAX 1376

// Bytes that the longest persona with its parameters takes, its NUL included.
#define ESPSTRESS_PERSONA_MAX 128

// Bytes of a host name, its end included.
#define ESPSTRESS_HOST_LEN 65

// The ordinary quality of service of the MQTT client: at least once.
#define ESPSTRESS_MQTT_QOS_1 0

// The other one: at most once.
#define ESPSTRESS_MQTT_QOS_0 1

// Eight-byte words of a device's place.
#define ESPSTRESS_DEVICE_WORDS 448

// Eight-byte words of a connection's place.
#define ESPSTRESS_CONNECTION_WORDS 464

// Whether a call did what it was asked to.
enum espstress_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It did.
    ESPSTRESS_STATUS_OK = 0,
    // A pointer was null, or its place holds nothing yet.
    ESPSTRESS_STATUS_NOTHING = 1,
    // There is no such persona, or its parameters are wrong.
    ESPSTRESS_STATUS_PERSONA = 2,
    // A text is too long or no UTF-8.
    ESPSTRESS_STATUS_TEXT = 3,
    // A number stands for nothing.
    ESPSTRESS_STATUS_NUMBER = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum espstress_status espstress_status;
#else
typedef uint8_t espstress_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What the device as a whole wants.
enum espstress_device_wish_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Nothing now.
    ESPSTRESS_DEVICE_WISH_KIND_NOTHING = 0,
    // Drop every connection without goodbye and start anew, with `reset` as the reason.
    ESPSTRESS_DEVICE_WISH_KIND_RESTART = 1,
    // Leave the network for `duration_us` and come back.
    ESPSTRESS_DEVICE_WISH_KIND_LEAVE_NETWORK = 2,
    // Switch power save to `power_save`.
    ESPSTRESS_DEVICE_WISH_KIND_POWER_SAVE = 3,
    // Serve telemetry datagrams alone from now on, while `espstress_device_is_hung`.
    ESPSTRESS_DEVICE_WISH_KIND_HANG = 4,
    // Allocate `bytes` and never give them back; failing is allowed.
    ESPSTRESS_DEVICE_WISH_KIND_HOARD = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum espstress_device_wish_kind espstress_device_wish_kind;
#else
typedef uint8_t espstress_device_wish_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Wi-Fi power save.
enum espstress_power_save
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Always awake.
    ESPSTRESS_POWER_SAVE_NONE = 0,
    // Wakes at each DTIM beacon.
    ESPSTRESS_POWER_SAVE_MIN_MODEM = 1,
    // Wakes at each listen interval.
    ESPSTRESS_POWER_SAVE_MAX_MODEM = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum espstress_power_save espstress_power_save;
#else
typedef uint8_t espstress_power_save;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Why the device started, in the order and with the numbers of ESP-IDF's `esp_reset_reason_t`.
enum espstress_reset
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Not known.
    ESPSTRESS_RESET_UNKNOWN = 0,
    // Power came on.
    ESPSTRESS_RESET_POWER_ON = 1,
    // External pin.
    ESPSTRESS_RESET_EXTERNAL = 2,
    // The software asked for it.
    ESPSTRESS_RESET_SOFTWARE = 3,
    // Exception or panic.
    ESPSTRESS_RESET_PANIC = 4,
    // Interrupt watchdog.
    ESPSTRESS_RESET_INTERRUPT_WATCHDOG = 5,
    // Task watchdog.
    ESPSTRESS_RESET_TASK_WATCHDOG = 6,
    // Another watchdog.
    ESPSTRESS_RESET_WATCHDOG = 7,
    // Woke from deep sleep.
    ESPSTRESS_RESET_DEEP_SLEEP = 8,
    // The supply voltage fell too low.
    ESPSTRESS_RESET_BROWNOUT = 9,
    // Over SDIO.
    ESPSTRESS_RESET_SDIO = 10,
    // Over USB.
    ESPSTRESS_RESET_USB = 11,
    // Over JTAG.
    ESPSTRESS_RESET_JTAG = 12,
    // An efuse error.
    ESPSTRESS_RESET_EFUSE = 13,
    // A power glitch was detected.
    ESPSTRESS_RESET_POWER_GLITCH = 14,
    // The CPU locked up.
    ESPSTRESS_RESET_CPU_LOCKUP = 15,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum espstress_reset espstress_reset;
#else
typedef uint8_t espstress_reset;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a connection wants next.
enum espstress_wish_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Read at most `len` bytes to `space`.
    ESPSTRESS_WISH_KIND_READ = 0,
    // Send the `len` bytes at `bytes`, or some of them.
    ESPSTRESS_WISH_KIND_WRITE = 1,
    // Call `espstress_connection_provide`.
    ESPSTRESS_WISH_KIND_READINGS = 2,
    // Shut down the sending direction.
    ESPSTRESS_WISH_KIND_SHUTDOWN_WRITE = 3,
    // Neither read nor write until the deadline.
    ESPSTRESS_WISH_KIND_HOLD = 4,
    // Close as `close` says and forget the connection.
    ESPSTRESS_WISH_KIND_CLOSE = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum espstress_wish_kind espstress_wish_kind;
#else
typedef uint8_t espstress_wish_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How a socket is to be closed.
enum espstress_close
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // `close()`; everything that had arrived was read, so a FIN follows what was written.
    ESPSTRESS_CLOSE_ORDERLY = 0,
    // `close()` with bytes unread, which lwIP and most others answer with a RST.
    ESPSTRESS_CLOSE_UNREAD = 1,
    // RST at once: linger of zero, then `close()`.
    ESPSTRESS_CLOSE_ABORT = 2,
    // No close: the socket stays occupied until the device restarts.
    ESPSTRESS_CLOSE_LEAK = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum espstress_close espstress_close;
#else
typedef uint8_t espstress_close;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The services. Bits in a set of services are `1 << service`.
enum espstress_service
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // HTTP/1.1, port 80.
    ESPSTRESS_SERVICE_HTTP = 0,
    // Framed read-write, port 7007.
    ESPSTRESS_SERVICE_FRAMED = 1,
    // Request in, ten kilobytes out, port 8080.
    ESPSTRESS_SERVICE_RAW = 2,
    // Newline-terminated JSON, port 8123.
    ESPSTRESS_SERVICE_LINE = 3,
    // Telemetry datagrams, port 7008/udp; never a connection.
    ESPSTRESS_SERVICE_TELEMETRY = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum espstress_service espstress_service;
#else
typedef uint8_t espstress_service;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a stack can report, by name; the numbers are the library's own and no errno's.
enum espstress_error
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The peer reset the connection.
    ESPSTRESS_ERROR_RESET = 0,
    // Keep-alive or retransmissions exhausted, or nobody answered in time.
    ESPSTRESS_ERROR_TIMED_OUT = 1,
    // Nobody listens there.
    ESPSTRESS_ERROR_REFUSED = 2,
    // No way there.
    ESPSTRESS_ERROR_UNREACHABLE = 3,
    // The stack had no memory.
    ESPSTRESS_ERROR_OUT_OF_MEMORY = 4,
    // The stack had no socket left.
    ESPSTRESS_ERROR_OUT_OF_SOCKETS = 5,
    // Anything else.
    ESPSTRESS_ERROR_OTHER = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum espstress_error espstress_error;
#else
typedef uint8_t espstress_error;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What the dialled host speaks.
enum espstress_dial
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The line protocol.
    ESPSTRESS_DIAL_LINE = 0,
    // MQTT: it is a broker.
    ESPSTRESS_DIAL_MQTT = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum espstress_dial espstress_dial;
#else
typedef uint8_t espstress_dial;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A place for the state that all connections share. One a device; zero it or leave it to static memory.
typedef struct {
    // The library's own.
    uint64_t holds;
    // The library's own.
    uint64_t place[ESPSTRESS_DEVICE_WORDS];
} espstress_device;

// The setup of a device. All zero is the ordinary one.
typedef struct {
    // For example `robust` or `deaf:after=2KiB`; null means robust.
    const char *persona;
    // Name in telemetry, at most 32 bytes; null means `espstress`.
    const char *name;
    // What control requests have to show, at most 64 bytes; null or empty refuses them all.
    const char *token;
    // A host to dial, at most 64 bytes; null for none.
    const char *dial_host;
    // Its port.
    uint16_t dial_port;
    // Sockets of the stack in all, listeners and the datagram socket included; 0 means 10.
    uint16_t sockets;
    // Services switched on, `1 << service` each; 0 means all.
    uint8_t services;
    // Number of the device, its id line in the line protocol; 0 means 1.
    uint8_t number;
    // Why the device started, one of `espstress_reset`; 0 is unknown.
    uint8_t reset_reason;
    // Starts since power-on, this one included; 0 means 1.
    uint32_t boot_count;
    // Time-out of the line protocol; 0 means 1,500.
    uint32_t line_timeout_ms;
    // Time between lines of data of the line protocol; 0 means 5,000.
    uint32_t line_data_interval_ms;
    // What the dialled host speaks, one of `espstress_dial`.
    uint8_t dial_protocol;
    // Quality of service of the MQTT client's messages, `ESPSTRESS_MQTT_QOS_1` or `ESPSTRESS_MQTT_QOS_0`.
    uint8_t mqtt_qos;
    // Whether every connection of the MQTT client starts a new session.
    bool mqtt_clean;
    // Keep alive of the MQTT client in seconds; 0 means 15.
    uint16_t mqtt_keep_alive_s;
    // Time between messages of the MQTT client; 0 means 1,000.
    uint32_t mqtt_interval_ms;
    // Of the random part of the MQTT client's waits: another one on each device.
    uint32_t mqtt_seed;
} espstress_config;

// Whether to accept a connection now.
typedef struct {
    // Accept one, then ask again.
    bool accept;
    // When to ask again; `ESPSTRESS_NEVER` means after a connection has ended.
    uint64_t retry_at_us;
} espstress_admission;

// Keep-alive times of a socket, in seconds and probes; all zero for none. `TCP_NODELAY` is always wanted.
typedef struct {
    // Idle time before the first probe.
    uint32_t idle_s;
    // Time between probes.
    uint32_t interval_s;
    // Unanswered probes before the connection is given up.
    uint32_t count;
} espstress_keep_alive;

// A wish of the device as a whole.
typedef struct {
    // Which.
    espstress_device_wish_kind kind;
    // Of power save.
    espstress_power_save power_save;
    // Of a restart.
    espstress_reset reset;
    // Of a hoard.
    uint32_t bytes;
    // Of leaving the network, in microseconds.
    uint64_t duration_us;
} espstress_device_wish;

// A host to dial.
typedef struct {
    // Address or name, ended by a zero.
    char name[ESPSTRESS_HOST_LEN];
    // TCP port.
    uint16_t port;
} espstress_host;

// Heap readings in bytes.
typedef struct {
    // Free now.
    uint32_t free_bytes;
    // The least that was ever free, or `ESPSTRESS_UNKNOWN`.
    uint32_t min_free_bytes;
    // Largest block that could be had now, or `ESPSTRESS_UNKNOWN`.
    uint32_t largest_free_block_bytes;
    // In all.
    uint32_t total_bytes;
} espstress_heap;

// Readings of the Wi-Fi station.
typedef struct {
    // Signal strength in dBm, or `ESPSTRESS_NO_RSSI`.
    int16_t rssi_dbm;
    // ESP-IDF's `wifi_err_reason_t` of the last disconnect; 0 when there was none.
    uint8_t last_disconnect_reason;
    // Power save in force, one of `espstress_power_save`.
    uint8_t power_save;
    // Disconnects since the start.
    uint32_t disconnects;
} espstress_wifi;

// An option in force.
typedef struct {
    // Its name.
    const char *name;
    // Its value.
    const char *value;
} espstress_option;

// What can be read off the device at this moment. All zero is a device that knows nothing of itself.
typedef struct {
    // The heap, null when it is not known.
    const espstress_heap *heap;
    // The Wi-Fi station, null where there is none.
    const espstress_wifi *wifi;
    // Name of the network stack, null for an unnamed one.
    const char *stack_name;
    // Its version, or null.
    const char *stack_version;
    // Options in force, null for none.
    const espstress_option *options;
    // How many options.
    size_t options_len;
    // Sockets in use, listeners included; with no `sockets_limit`, the program reports what it holds itself.
    uint16_t sockets_used;
    // Sockets there are, or 0 when the stack does not say.
    uint16_t sockets_limit;
} espstress_readings;

// A place for one connection. Reused as often as needed; zero it or leave it to static memory.
typedef struct {
    // The library's own.
    uint64_t holds;
    // The library's own.
    uint64_t place[ESPSTRESS_CONNECTION_WORDS];
} espstress_connection;

// A wish of a connection.
typedef struct {
    // Which.
    espstress_wish_kind kind;
    // Of a close.
    espstress_close close;
    // Bytes of `space` or `bytes`, at least one.
    size_t len;
    // Of a read, else null. Valid until the next call for this connection.
    uint8_t *space;
    // Of a write, else null. Valid until the next call for this connection.
    const uint8_t *bytes;
} espstress_wish;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of the device program.
const char *espstress_version(void);

// The port of a service on a device of its own; 0 when there is no such service.
uint16_t espstress_service_port(uint8_t service_id);

// The name of a service; `?` when there is none.
const char *espstress_service_name(uint8_t service_id);

// Sets up a device that starts now. A null `config` is the ordinary one.
espstress_status espstress_device_init(espstress_device *device,
                                       const espstress_config *config,
                                       uint64_t now_us);

// Starts the device anew: its persona stays, the boot is counted, `reset` (an `espstress_reset`) is the reason.
// Connections from before are to be forgotten.
espstress_status espstress_device_restart(espstress_device *device,
                                          uint8_t reset,
                                          uint64_t now_us);

// Changes the persona, for example to `robust` or `deaf:after=2KiB`.
espstress_status espstress_device_set_persona(espstress_device *device, const char *persona);

// Writes the persona that stays after a restart, with its parameters and a final NUL, into `out`, so that the next start can have
// it as its `config.persona`: its length, or 0 when it does not fit. `ESPSTRESS_PERSONA_MAX` bytes are enough.
size_t espstress_device_persona(espstress_device *device,
                                char *out,
                                size_t out_len);

// Connections that the device holds at once; the one that it dialled comes on top.
uint16_t espstress_device_capacity(espstress_device *device);

// Whether a service is switched on.
bool espstress_device_has(espstress_device *device, uint8_t service_id);

// Whether the application hangs: telemetry datagrams are then served, and nothing else.
bool espstress_device_is_hung(espstress_device *device);

// Whether to take a connection of this service from the stack now.
espstress_admission espstress_device_admit(espstress_device *device, uint8_t service_id, uint64_t now_us);

// How long dialling may take, milliseconds.
uint32_t espstress_device_dial_limit_ms(espstress_device *device);

// Keep-alive for the dialled connection.
espstress_keep_alive espstress_device_dial_keep_alive(espstress_device *device);

// Keep-alive for accepted connections.
espstress_keep_alive espstress_device_keep_alive(espstress_device *device);

// Counts a failure that has no connection, such as an accept that found no socket. `error` is an `espstress_error`.
void espstress_device_count_error(espstress_device *device,
                                  uint8_t service_id,
                                  uint8_t error_id);

// The next thing that the device as a whole wants; call it until it is nothing.
espstress_device_wish espstress_device_poll_wish(espstress_device *device, uint64_t now_us);

// When `espstress_device_poll_wish` has something without anything else happening, or `ESPSTRESS_NEVER`.
uint64_t espstress_device_next_wish_at(espstress_device *device);

// Whether to dial now, and whom. To be answered with `espstress_connection_open_dialled` or
// `espstress_device_dial_failed`.
bool espstress_device_dial(espstress_device *device, uint64_t now_us, espstress_host *host);

// When `espstress_device_dial` next has something, or `ESPSTRESS_NEVER`.
uint64_t espstress_device_next_dial_at(espstress_device *device);

// The dialled host has not answered; `error` is an `espstress_error`.
void espstress_device_dial_failed(espstress_device *device, uint8_t error_id, uint64_t now_us);

// Answers a telemetry datagram into `out`, `ESPSTRESS_TELEMETRY_MAX` bytes for a whole one: the length of the
// answer, or 0 when there is none. Null `readings` are those of a device that knows nothing of itself.
size_t espstress_device_answer_datagram(espstress_device *device,
                                        const uint8_t *datagram,
                                        size_t datagram_len,
                                        const espstress_readings *readings,
                                        uint64_t now_us,
                                        uint8_t *out,
                                        size_t out_len);

// Starts the program's side of a connection that the stack has accepted.
espstress_status espstress_connection_open(espstress_connection *connection,
                                           espstress_device *device,
                                           uint8_t service_id,
                                           uint64_t now_us);

// Starts the program's side of the connection to the host that `espstress_device_dial` named.
espstress_status espstress_connection_open_dialled(espstress_connection *connection,
                                                   espstress_device *device,
                                                   uint64_t now_us);

// What to do next. A place that holds nothing wants to hold.
espstress_wish espstress_connection_next(espstress_connection *connection,
                                         espstress_device *device,
                                         uint64_t now_us);

// So many bytes were read to the space of the last wish.
void espstress_connection_received(espstress_connection *connection, size_t len);

// So many of the bytes of the last wish were taken by the stack.
void espstress_connection_sent(espstress_connection *connection, size_t len);

// The peer has closed its sending direction, and everything before that was read.
void espstress_connection_peer_closed(espstress_connection *connection);

// The stack reports that the connection is gone; `error` is an `espstress_error`.
void espstress_connection_failed(espstress_connection *connection, uint8_t error_id);

// Answers the wish for readings. Null ones are those of a device that knows nothing of itself.
void espstress_connection_provide(espstress_connection *connection,
                                  espstress_device *device,
                                  const espstress_readings *readings,
                                  uint64_t now_us);

// When to ask for the next wish at the latest, even if nothing happens, or `ESPSTRESS_NEVER`.
uint64_t espstress_connection_deadline(espstress_connection *connection);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ESPSTRESS_DEVICE_H */
