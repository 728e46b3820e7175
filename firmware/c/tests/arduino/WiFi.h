/* Stand-in for the ESP32 core's header, for the tests in ../package. */
#pragma once
#include "Arduino.h"
enum wl_status_t { WL_CONNECTED = 3 };
enum wifi_mode_t { WIFI_STA = 1 };
struct IPAddress {};
struct WiFiClass {
    bool mode(wifi_mode_t);
    wl_status_t begin(const char *ssid, const char *password);
    wl_status_t status();
    IPAddress localIP();
};
extern WiFiClass WiFi;
