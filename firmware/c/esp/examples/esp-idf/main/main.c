/* Joins the network as ESP-IDF's own examples do (Wi-Fi, Ethernet, or QEMU's), announces the device, and serves. */
#include <stdlib.h>

#include "esp_event.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "espstress.h"
#include "mdns.h"
#include "nvs_flash.h"
#include "protocol_examples_common.h"

/* What `espstress discover` shows. A device that cannot announce itself is found by its address all the same. */
static void announce(const espstress_settings *settings)
{
    mdns_txt_item_t says[] = {{"stack", "lwIP"}, {"persona", settings->persona}, {"firmware", espstress_version()}};
    if (mdns_init() != ESP_OK || mdns_hostname_set(settings->name) != ESP_OK ||
        mdns_service_add(settings->name, "_espstress", "_tcp", settings->ports[ESPSTRESS_SERVICE_FRAMED], says,
                         sizeof says / sizeof says[0]) != ESP_OK) {
        ESP_LOGW("main", "not announced by mDNS");
    }
}

void app_main(void)
{
    espstress_settings settings;
    ESP_ERROR_CHECK(nvs_flash_init());
    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    ESP_ERROR_CHECK(example_connect());
    espstress_settings_default(&settings);
    if (espstress_start(&settings) != ESPSTRESS_OPENED) {
        abort();
    }
    announce(&settings);
}
