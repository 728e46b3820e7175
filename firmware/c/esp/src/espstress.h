/* The device program in a task of its own: on ESP-IDF, and on Arduino's core for ESP32, which is made of it.
 *
 * Join the network first; then
 *
 *     espstress_settings settings;
 *     espstress_settings_default(&settings);
 *     settings.token = "...";
 *     espstress_start(&settings);
 */
#ifndef ESPSTRESS_H
#define ESPSTRESS_H

#include "carrier.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Texts have to stay as they are until espstress_start returns. */
typedef struct {
    /* Name in telemetry, at most 32 bytes. */
    const char *name;
    /* Fault profile at the start, for example "robust" or "deaf:after=2KiB". */
    const char *persona;
    /* What control requests have to show, at most 64 bytes; empty refuses them all. */
    const char *token;
    /* A host to dial with the line protocol, at most 64 bytes; empty for none. */
    const char *dial_host;
    uint16_t dial_port;
    /* Services switched on, 1 << service each. */
    uint8_t services;
    /* Ports by service. */
    uint16_t ports[ESPSTRESS_SERVICES];
} espstress_settings;

/* The settings of menuconfig; without one, those of a device that has every service on its usual port. */
void espstress_settings_default(espstress_settings *settings);

/* Starts the device; once. What went wrong is on the console as well. */
espstress_opened espstress_start(const espstress_settings *settings);

#ifdef __cplusplus
}
#endif

#endif
