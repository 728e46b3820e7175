/* Stand-in: see README.md. */
#pragma once
/* The values of ESP-IDF's defaults. */
#define TCP_MSS 1440
#define TCP_WND 5760
#define TCP_SND_BUF 5760
#define TCP_MSL 60000
#define TCP_MAXRTX 12
#define TCP_SYNMAXRTX 12
