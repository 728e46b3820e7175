/* The calls of ESP-IDF on a host: what has no counterpart there succeeds and does nothing. A restart starts the program again,
 * and what is in RTC memory stays: in the file that ESPSTRESS_RTC names. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <time.h>

#include "esp_event.h"
#include "esp_heap_caps.h"
#include "esp_netif.h"
#include "esp_system.h"
#include "esp_timer.h"
#include "esp_wifi.h"
#include "freertos/task.h"
#include "mdns.h"
#include "nvs_flash.h"
#include "protocol_examples_common.h"

esp_event_base_t const WIFI_EVENT = "WIFI_EVENT";

esp_err_t esp_event_loop_create_default(void) { return ESP_OK; }
esp_err_t esp_event_handler_register(esp_event_base_t base, int32_t id, esp_event_handler_t handler, void *arg)
{
    (void)base, (void)id, (void)handler, (void)arg;
    return ESP_OK;
}
esp_err_t esp_netif_init(void) { return ESP_OK; }
esp_err_t nvs_flash_init(void) { return ESP_OK; }
esp_err_t example_connect(void) { return ESP_OK; }
size_t heap_caps_get_free_size(uint32_t caps) { return (void)caps, 60000; }
size_t heap_caps_get_minimum_free_size(uint32_t caps) { return (void)caps, 50000; }
size_t heap_caps_get_largest_free_block(uint32_t caps) { return (void)caps, 40000; }
size_t heap_caps_get_total_size(uint32_t caps) { return (void)caps, 100000; }

extern char __start_rtc_noinit[], __stop_rtc_noinit[];
static esp_reset_reason_t why = ESP_RST_POWERON;

esp_reset_reason_t esp_reset_reason(void) { return why; }

static size_t rtc_size(void) { return (size_t)(__stop_rtc_noinit - __start_rtc_noinit); }

void esp_restart(void)
{
    const char *path = getenv("ESPSTRESS_RTC");
    FILE *file = path == NULL ? NULL : fopen(path, "wb");
    if (file != NULL) {
        (void)fwrite(__start_rtc_noinit, 1, rtc_size(), file);
        (void)fclose(file);
        /* A chip's connections and ports are gone. */
        for (int fd = 3; fd < 1024; fd++) {
            (void)close(fd);
        }
        /* Not self: the first thread is gone. */
        (void)execl("/proc/thread-self/exe", "device", (char *)NULL);
    }
    exit(0);
}

static void recall(void)
{
    const char *path = getenv("ESPSTRESS_RTC");
    FILE *file = path == NULL ? NULL : fopen(path, "rb");
    if (file != NULL) {
        why = fread(__start_rtc_noinit, 1, rtc_size(), file) == rtc_size() ? ESP_RST_SW : ESP_RST_POWERON;
        (void)fclose(file);
    }
}

int64_t esp_timer_get_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
esp_err_t esp_timer_create(const esp_timer_create_args_t *args, esp_timer_handle_t *timer)
{
    (void)args, (void)timer;
    return ESP_FAIL;
}
esp_err_t esp_timer_start_once(esp_timer_handle_t timer, uint64_t timeout_us)
{
    (void)timer, (void)timeout_us;
    return ESP_FAIL;
}
esp_err_t esp_timer_stop(esp_timer_handle_t timer) { return (void)timer, ESP_FAIL; }

/* No radio, as on Ethernet. */
esp_err_t esp_wifi_start(void) { return ESP_FAIL; }
esp_err_t esp_wifi_stop(void) { return ESP_FAIL; }
esp_err_t esp_wifi_connect(void) { return ESP_FAIL; }
esp_err_t esp_wifi_get_ps(wifi_ps_type_t *mode) { return (void)mode, ESP_FAIL; }
esp_err_t esp_wifi_set_ps(wifi_ps_type_t mode) { return (void)mode, ESP_FAIL; }
esp_err_t esp_wifi_sta_get_ap_info(wifi_ap_record_t *record) { return (void)record, ESP_FAIL; }

esp_err_t mdns_init(void) { return ESP_OK; }
esp_err_t mdns_hostname_set(const char *name) { return (void)name, ESP_OK; }
esp_err_t mdns_service_add(const char *instance, const char *service, const char *proto, uint16_t port,
                           mdns_txt_item_t txt[], size_t items)
{
    (void)instance, (void)service, (void)proto, (void)port, (void)txt, (void)items;
    return ESP_OK;
}

struct start {
    TaskFunction_t code;
    void *parameters;
};

static void *run(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    start.code(start.parameters);
    return NULL;
}

BaseType_t xTaskCreate(TaskFunction_t code, const char *name, uint32_t stack, void *parameters, UBaseType_t priority,
                       TaskHandle_t *task)
{
    (void)name, (void)stack, (void)priority, (void)task;
    struct start *start = malloc(sizeof *start);
    pthread_t thread;
    if (start == NULL) {
        return 0;
    }
    start->code = code;
    start->parameters = parameters;
    if (pthread_create(&thread, NULL, run, start) != 0) {
        free(start);
        return 0;
    }
    return pdPASS;
}

void vTaskDelay(TickType_t ticks)
{
    struct timespec time = {0, (long)ticks * 10000000};
    nanosleep(&time, NULL);
}

void app_main(void);

int main(void)
{
    recall();
    app_main();
    /* ESP-IDF goes on as well when app_main returns. */
    pthread_exit(NULL);
}
