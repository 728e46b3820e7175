/* Stand-in: see README.md. */
#pragma once
/* A section of its own, so that the host's stand-in can keep it. */
#define RTC_NOINIT_ATTR __attribute__((section("rtc_noinit")))
