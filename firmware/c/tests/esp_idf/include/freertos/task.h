/* Stand-in: see README.md. */
#pragma once
#include "freertos/FreeRTOS.h"
#ifdef __cplusplus
extern "C" {
#endif
typedef void (*TaskFunction_t)(void *);
typedef struct task *TaskHandle_t;
BaseType_t xTaskCreate(TaskFunction_t code, const char *name, uint32_t stack, void *parameters, UBaseType_t priority,
                       TaskHandle_t *task);
void vTaskDelay(TickType_t ticks);
#ifdef __cplusplus
}
#endif
