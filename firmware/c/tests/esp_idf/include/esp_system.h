/* Stand-in: see README.md. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
typedef enum { ESP_RST_UNKNOWN, ESP_RST_POWERON, ESP_RST_EXT, ESP_RST_SW } esp_reset_reason_t;
esp_reset_reason_t esp_reset_reason(void);
void esp_restart(void) __attribute__((noreturn));
#ifdef __cplusplus
}
#endif
