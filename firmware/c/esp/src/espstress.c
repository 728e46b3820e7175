/* See espstress.h. What the carrier asks of the system around it, from ESP-IDF. */
#include "espstress.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "esp_attr.h"
#include "esp_event.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_system.h"
#include "esp_timer.h"
#include "esp_wifi.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "lwip/init.h"
#include "lwip/opt.h"
#include "sdkconfig.h"

/* What the device's task needs; the connections are not on its stack. */
enum { STACK_BYTES = 6144, PRIORITY = 5 };

/* How long a turn waits when there is nothing to do, and turns before one tick for others. */
enum { TURN_MS = 1000, TURNS_AT_ONCE = 64 };

/* Sockets of the stack. */
#ifdef CONFIG_LWIP_MAX_SOCKETS
#define STACK_SOCKETS CONFIG_LWIP_MAX_SOCKETS
#else
#define STACK_SOCKETS 10
#endif

static const char TAG[] = "espstress";

static espstress_carrier carrier;
static espstress_wifi wifi;
static espstress_heap heap;

/* Options of lwIP as this application was compiled, from its own headers. */
static espstress_option options[8];
static char option_values[8][12];
static size_t option_count;

/* A reset leaves it alone; after power-on it holds anything. */
static RTC_NOINIT_ATTR struct {
    uint32_t magic, starts;
    /* Why the program restarts, where it does so itself; then 0. */
    uint32_t announced;
    /* The persona in force at the last restart that the program made; empty for that of the settings. */
    char persona[ESPSTRESS_PERSONA_MAX];
    uint32_t check;
} kept;

/* The persona stays through a restart, unless menuconfig says otherwise. Arduino has no menuconfig. */
#if !defined(CONFIG_ESPSTRESS_NAME) || defined(CONFIG_ESPSTRESS_KEEP_PERSONA)
#define KEEP_PERSONA 1
#else
#define KEEP_PERSONA 0
#endif

static uint64_t now_us(void *context)
{
    (void)context;
    return (uint64_t)esp_timer_get_time();
}

static void add_option(const char *name, unsigned long value)
{
    if (option_count < sizeof options / sizeof options[0]) {
        (void)snprintf(option_values[option_count], sizeof option_values[0], "%lu", value);
        options[option_count].name = name;
        options[option_count].value = option_values[option_count];
        option_count++;
    }
}

static void read_options(void)
{
    add_option("TCP_WND", (unsigned long)TCP_WND);
    add_option("TCP_SND_BUF", (unsigned long)TCP_SND_BUF);
    add_option("TCP_MSS", (unsigned long)TCP_MSS);
#ifdef TCP_MSL
    add_option("TCP_MSL", (unsigned long)TCP_MSL);
#endif
    add_option("TCP_MAXRTX", (unsigned long)TCP_MAXRTX);
    add_option("TCP_SYNMAXRTX", (unsigned long)TCP_SYNMAXRTX);
    add_option("MAX_SOCKETS", (unsigned long)STACK_SOCKETS);
}

static void read_all(void *context, espstress_readings *readings)
{
    (void)context;
    heap.free_bytes = (uint32_t)heap_caps_get_free_size(MALLOC_CAP_8BIT);
    heap.min_free_bytes = (uint32_t)heap_caps_get_minimum_free_size(MALLOC_CAP_8BIT);
    heap.largest_free_block_bytes = (uint32_t)heap_caps_get_largest_free_block(MALLOC_CAP_8BIT);
    heap.total_bytes = (uint32_t)heap_caps_get_total_size(MALLOC_CAP_8BIT);
    readings->heap = &heap;

    /* Without Wi-Fi, as on Ethernet, there is nothing to say of a station. */
    wifi_ps_type_t mode;
    if (esp_wifi_get_ps(&mode) == ESP_OK) {
        wifi_ap_record_t joined;
        wifi.rssi_dbm = esp_wifi_sta_get_ap_info(&joined) == ESP_OK ? joined.rssi : ESPSTRESS_NO_RSSI;
        wifi.power_save = mode == WIFI_PS_NONE        ? ESPSTRESS_POWER_SAVE_NONE
                          : mode == WIFI_PS_MIN_MODEM ? ESPSTRESS_POWER_SAVE_MIN_MODEM
                                                      : ESPSTRESS_POWER_SAVE_MAX_MODEM;
        readings->wifi = &wifi;
    }
    readings->stack_name = "lwIP";
    readings->stack_version = LWIP_VERSION_STRING;
    readings->options = options;
    readings->options_len = option_count;
}

static void on_disconnect(void *context, esp_event_base_t base, int32_t id, void *data)
{
    (void)context;
    (void)base;
    (void)id;
    const wifi_event_sta_disconnected_t *event = (const wifi_event_sta_disconnected_t *)data;
    wifi.disconnects++;
    wifi.last_disconnect_reason = event->reason;
}

static void power_save(void *context, espstress_power_save mode)
{
    (void)context;
    static const wifi_ps_type_t modes[] = {WIFI_PS_NONE, WIFI_PS_MIN_MODEM, WIFI_PS_MAX_MODEM};
    if (mode < sizeof modes / sizeof modes[0]) {
        (void)esp_wifi_set_ps(modes[mode]);
    }
}

static void come_back(void *context)
{
    (void)context;
    (void)esp_wifi_start();
    (void)esp_wifi_connect();
}

/* Stops the radio rather than leaving the network: an application that joins again at once would end the outage. */
static void leave_network(void *context, uint64_t duration_us)
{
    (void)context;
    static esp_timer_handle_t timer;
    esp_timer_create_args_t arguments;
    memset(&arguments, 0, sizeof arguments);
    arguments.callback = come_back;
    arguments.name = "espstress";
    if (timer == NULL && esp_timer_create(&arguments, &timer) != ESP_OK) {
        return;
    }
    (void)esp_timer_stop(timer);
    if (esp_timer_start_once(timer, duration_us) == ESP_OK) {
        (void)esp_wifi_stop();
    }
}

static void hoard(void *context, uint32_t bytes)
{
    (void)context;
    /* Written to, so that it is really taken; never given back. */
    volatile uint8_t *piece = (volatile uint8_t *)malloc(bytes);
    if (piece != NULL && bytes > 0) {
        piece[0] = 0xA5;
    }
}

/* FNV-1a of all that is kept, so that a reset in the middle of a change is noticed. */
static uint32_t checksum(void)
{
    const unsigned char *bytes = (const unsigned char *)&kept;
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < offsetof(__typeof__(kept), check); i++) {
        sum = (sum ^ bytes[i]) * 16777619u;
    }
    return sum;
}

static void restart(void *context, espstress_reset reason)
{
    (void)context;
    kept.announced = (uint32_t)reason;
    if (espstress_device_persona(&carrier.device, kept.persona, sizeof kept.persona) == 0 || !KEEP_PERSONA) {
        memset(kept.persona, 0, sizeof kept.persona);
    }
    kept.check = checksum();
    esp_restart();
}

static uint32_t count_start(void)
{
    enum { MAGIC = 0x45535053 };
    if (kept.magic != MAGIC || kept.check != checksum() || esp_reset_reason() == ESP_RST_POWERON) {
        memset(&kept, 0, sizeof kept);
        kept.magic = MAGIC;
    }
    kept.starts++;
    kept.check = checksum();
    return kept.starts;
}

/* Why this start happened, once. The chip only knows that software asked for it where the program knows more. The library's
 * numbers are ESP-IDF's, as far as it knows them. */
static uint8_t reset_reason(void)
{
    unsigned reason = (unsigned)esp_reset_reason();
    if (reason == ESP_RST_SW && kept.announced != 0) {
        reason = kept.announced;
    }
    kept.announced = 0;
    kept.check = checksum();
    return (uint8_t)(reason <= ESPSTRESS_RESET_JTAG ? reason : 0u);
}

static void device_task(void *unused)
{
    (void)unused;
    for (unsigned turns = 1;; turns++) {
        espstress_carrier_turn(&carrier, TURN_MS);
        /* A turn with more to do returns at once. Whatever comes, the tasks below this one have their time. */
        if (turns % TURNS_AT_ONCE == 0) {
            vTaskDelay(1);
        }
    }
}

void espstress_settings_default(espstress_settings *settings)
{
    memset(settings, 0, sizeof *settings);
    settings->name = "espstress";
    settings->persona = "robust";
    settings->token = "";
    settings->dial_host = "";
    settings->dial_port = espstress_service_port(ESPSTRESS_SERVICE_LINE);
    for (uint8_t service = 0; service < ESPSTRESS_SERVICES; service++) {
        settings->ports[service] = espstress_service_port(service);
        settings->services = (uint8_t)(settings->services | 1u << service);
    }
#ifdef CONFIG_ESPSTRESS_NAME
    settings->name = CONFIG_ESPSTRESS_NAME;
    settings->persona = CONFIG_ESPSTRESS_PERSONA;
    settings->token = CONFIG_ESPSTRESS_TOKEN;
    settings->dial_host = CONFIG_ESPSTRESS_DIAL_HOST;
    settings->dial_port = CONFIG_ESPSTRESS_DIAL_PORT;
    settings->services = 0;
#define TAKE(name)                                                                                                     \
    settings->services = (uint8_t)(settings->services | 1u << ESPSTRESS_SERVICE_##name);                               \
    settings->ports[ESPSTRESS_SERVICE_##name] = CONFIG_ESPSTRESS_PORT_##name
#ifdef CONFIG_ESPSTRESS_SERVICE_HTTP
    TAKE(HTTP);
#endif
#ifdef CONFIG_ESPSTRESS_SERVICE_FRAMED
    TAKE(FRAMED);
#endif
#ifdef CONFIG_ESPSTRESS_SERVICE_RAW
    TAKE(RAW);
#endif
#ifdef CONFIG_ESPSTRESS_SERVICE_LINE
    TAKE(LINE);
#endif
#ifdef CONFIG_ESPSTRESS_SERVICE_TELEMETRY
    TAKE(TELEMETRY);
#endif
#undef TAKE
#endif
}

/* The sockets that the device counts on: those of the stack, but no more than there are places for. */
static uint16_t sockets_for(uint8_t services)
{
    unsigned listening = 0;
    for (uint8_t service = 0; service < ESPSTRESS_SERVICES; service++) {
        listening += services >> service & 1u;
    }
    unsigned places = ESPSTRESS_MAX_CONNECTIONS - 1u + listening;
    return (uint16_t)(places < STACK_SOCKETS ? places : STACK_SOCKETS);
}

espstress_opened espstress_start(const espstress_settings *settings)
{
    espstress_carrier_setup setup;
    espstress_carrier_defaults(&setup);
    setup.device.name = settings->name;
    setup.device.boot_count = count_start();
    setup.device.persona = kept.persona[0] != '\0' ? kept.persona : settings->persona;
    setup.device.token = settings->token;
    setup.device.dial_host = settings->dial_host != NULL && settings->dial_host[0] != '\0' ? settings->dial_host : NULL;
    setup.device.dial_port = settings->dial_port;
    setup.device.services = settings->services;
    setup.device.sockets = sockets_for(settings->services);
    setup.device.reset_reason = reset_reason();
    memcpy(setup.ports, settings->ports, sizeof setup.ports);
    setup.platform.now_us = now_us;
    setup.platform.readings = read_all;
    setup.platform.leave_network = leave_network;
    setup.platform.power_save = power_save;
    setup.platform.hoard = hoard;
    setup.platform.restart = restart;

    read_options();
    /* Fails where the application has no default event loop: its disconnects are then not counted. */
    (void)esp_event_handler_register(WIFI_EVENT, WIFI_EVENT_STA_DISCONNECTED, on_disconnect, NULL);

    espstress_status status = ESPSTRESS_STATUS_OK;
    espstress_opened opened = espstress_carrier_open(&carrier, &setup, &status);
    if (opened == ESPSTRESS_BAD_DEVICE && setup.device.persona != settings->persona) {
        /* Kept by another version of this program, which knew it. */
        setup.device.persona = settings->persona;
        opened = espstress_carrier_open(&carrier, &setup, &status);
    }
    if (opened == ESPSTRESS_OPENED && xTaskCreate(device_task, "espstress", STACK_BYTES, NULL, PRIORITY, NULL) != pdPASS) {
        espstress_carrier_close(&carrier);
        opened = ESPSTRESS_NO_SOCKET;
    }
    switch (opened) {
    case ESPSTRESS_OPENED:
        ESP_LOGI(TAG, "serving, persona %s", setup.device.persona);
        break;
    case ESPSTRESS_BAD_DEVICE:
        ESP_LOGE(TAG, "the settings are refused: persona %s (status %d)", settings->persona, (int)status);
        break;
    case ESPSTRESS_TOO_MANY_CONNECTIONS:
        ESP_LOGE(TAG, "more connections than ESPSTRESS_MAX_CONNECTIONS");
        break;
    case ESPSTRESS_NO_SOCKET:
    default:
        ESP_LOGE(TAG, "no socket, port or memory for the services");
        break;
    }
    return opened;
}
