/* Stand-in for the ESP32 core's header, for the tests in ../package. */
#pragma once
#include <stdint.h>
struct Console {
    void begin(unsigned long);
    template <typename T> void print(const T &) {}
    template <typename T> void println(const T &) {}
};
extern Console Serial;
void delay(uint32_t);
