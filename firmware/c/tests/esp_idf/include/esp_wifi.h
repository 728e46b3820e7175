/* Stand-in: see README.md. */
#pragma once
#include <stdint.h>
#include "esp_err.h"
#include "esp_event.h"
#ifdef __cplusplus
extern "C" {
#endif
extern esp_event_base_t const WIFI_EVENT;
enum { WIFI_EVENT_STA_DISCONNECTED = 5 };
typedef enum { WIFI_PS_NONE, WIFI_PS_MIN_MODEM, WIFI_PS_MAX_MODEM } wifi_ps_type_t;
typedef struct {
    uint8_t bssid[6], ssid[33];
    int8_t rssi;
} wifi_ap_record_t;
typedef struct {
    uint8_t ssid[32], ssid_len, bssid[6], reason;
    int8_t rssi;
} wifi_event_sta_disconnected_t;
esp_err_t esp_wifi_start(void);
esp_err_t esp_wifi_stop(void);
esp_err_t esp_wifi_connect(void);
esp_err_t esp_wifi_get_ps(wifi_ps_type_t *mode);
esp_err_t esp_wifi_set_ps(wifi_ps_type_t mode);
esp_err_t esp_wifi_sta_get_ap_info(wifi_ap_record_t *record);
#ifdef __cplusplus
}
#endif
