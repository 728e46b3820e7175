/* Stand-in for the ESP32 core's header, for the tests in ../package. */
#pragma once
#include "Arduino.h"
struct MDNSResponder {
    bool begin(const char *name);
    bool addService(const char *service, const char *proto, uint16_t port);
    bool addServiceTxt(const char *service, const char *proto, const char *key, const char *value);
};
extern MDNSResponder MDNS;
