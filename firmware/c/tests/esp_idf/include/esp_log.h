/* Stand-in: see README.md. */
#pragma once
#include <stdio.h>
#define ESP_LOGI(tag, format, ...) ((void)fprintf(stderr, "I %s: " format "\n", tag, ##__VA_ARGS__))
#define ESP_LOGW(tag, format, ...) ((void)fprintf(stderr, "W %s: " format "\n", tag, ##__VA_ARGS__))
#define ESP_LOGE(tag, format, ...) ((void)fprintf(stderr, "E %s: " format "\n", tag, ##__VA_ARGS__))
