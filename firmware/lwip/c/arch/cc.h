/* Compiler and C library as lwIP wants them described, for a host with a C library. */
#ifndef ESL_ARCH_CC_H
#define ESL_ARCH_CC_H

#include <stdint.h>
#include <sys/time.h>

#define LWIP_TIMEVAL_PRIVATE     0
#define LWIP_ERRNO_STDINCLUDE    1

typedef int sys_prot_t;

uint32_t esl_rand(void);
#define LWIP_RAND() (esl_rand())

/* A failed assertion ends the process, as it restarts a device. */
void esl_assert_failed(const char *what, const char *file, int line) __attribute__((noreturn));
#define LWIP_PLATFORM_ASSERT(x) esl_assert_failed((x), __FILE__, __LINE__)
#define LWIP_PLATFORM_DIAG(x) do { } while (0)

#endif
