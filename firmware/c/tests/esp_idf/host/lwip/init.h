/* Stand-in: see README.md. */
#pragma once
#define LWIP_VERSION_STRING "2.2.0"
