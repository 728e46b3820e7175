/* What the element allocation lets its limits be set to, and counts. */
#ifndef ESL_MEMP_H
#define ESL_MEMP_H

#include "lwip/arch.h"

/* Limits of TCP and listening control blocks; 0 is none. */
void esl_memp_set_limits(u32_t tcp_pcbs, u32_t tcp_listen_pcbs);
/* More timers than a device without a responder has; 0 when there is no room for them. */
int esl_memp_add_timeouts(unsigned int count);
u32_t esl_memp_tcp_pcbs_used(void);
u32_t esl_memp_tcp_pcbs_refused(void);
u32_t esl_memp_refused(void);

#endif
