/* lwIP's element allocation: from the device's heap, with a limit a type that is set at run time.
 *
 * It stands in for core/memp.c, which under MEMP_MEM_MALLOC knows no limits at all. A NULL from here
 * is what makes tcp_alloc() recycle old connections, so a limit and an empty heap look the same to
 * lwIP, as on the device. */
#include <stdlib.h>
#include <string.h>

#include "lwip/opt.h"
#include "lwip/memp.h"
#include "lwip/mem.h"
#include "lwip/sys.h"
#include "lwip/pbuf.h"
#include "lwip/udp.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/ip4_frag.h"
#include "lwip/netbuf.h"
#include "lwip/api.h"
#include "lwip/priv/tcpip_priv.h"
#include "lwip/priv/api_msg.h"
#include "lwip/priv/sockets_priv.h"
#include "lwip/etharp.h"
#include "lwip/igmp.h"
#include "lwip/timeouts.h"
#include "esl_memp.h"

static const u16_t element_size[MEMP_MAX] = {
#define LWIP_MEMPOOL(name, num, size, desc) LWIP_MEM_ALIGN_SIZE(size),
#include "lwip/priv/memp_std.h"
};

static u32_t limit[MEMP_MAX];
static u32_t used[MEMP_MAX];
static u32_t refused[MEMP_MAX];

/* lwIP takes a timer's element from the heap each time the timer is set again and cannot go on
 * without it, so the few there are are taken out of the heap once and for all. */
#define TIMEOUTS 8
#define TIMEOUTS_MAX 32
static void *spare_timeouts[TIMEOUTS_MAX];
static unsigned int timeouts;
static unsigned int spare_timeout_count;

void esl_memp_set_limits(u32_t tcp_pcbs, u32_t tcp_listen_pcbs) {
  limit[MEMP_TCP_PCB] = tcp_pcbs;
  limit[MEMP_TCP_PCB_LISTEN] = tcp_listen_pcbs;
}

void memp_init(void) {
  while (spare_timeout_count < TIMEOUTS) {
    void *mem = mem_malloc(element_size[MEMP_SYS_TIMEOUT]);
    LWIP_ASSERT("heap too small for the timers", mem != NULL);
    spare_timeouts[spare_timeout_count++] = mem;
  }
  timeouts = TIMEOUTS;
}

/* The device's heap is left alone: a board's own responder would bring its timers along. */
int esl_memp_add_timeouts(unsigned int count) {
  while (count-- > 0) {
    void *mem = timeouts < TIMEOUTS_MAX ? malloc(element_size[MEMP_SYS_TIMEOUT]) : NULL;
    if (mem == NULL) {
      return 0;
    }
    timeouts++;
    memp_free(MEMP_SYS_TIMEOUT, mem);
  }
  return 1;
}

/* Pools that a file of lwIP's declares for itself. */
void memp_init_pool(const struct memp_desc *desc) {
  LWIP_UNUSED_ARG(desc);
}

void *memp_malloc_pool(const struct memp_desc *desc) {
  return mem_malloc(LWIP_MEM_ALIGN_SIZE(desc->size));
}

void memp_free_pool(const struct memp_desc *desc, void *mem) {
  LWIP_UNUSED_ARG(desc);
  mem_free(mem);
}

static void *take_timeout(void) {
  void *mem = NULL;
  sys_prot_t level = sys_arch_protect();
  if (spare_timeout_count > 0) {
    mem = spare_timeouts[--spare_timeout_count];
  }
  sys_arch_unprotect(level);
  return mem;
}

static void give_timeout(void *mem) {
  sys_prot_t level = sys_arch_protect();
  spare_timeouts[spare_timeout_count++] = mem;
  sys_arch_unprotect(level);
}

void *memp_malloc(memp_t type) {
  void *mem = NULL;
  int room;
  sys_prot_t level;
  if (type == MEMP_SYS_TIMEOUT) {
    return take_timeout();
  }
  level = sys_arch_protect();
  room = limit[type] == 0 || used[type] < limit[type];
  if (room) {
    used[type]++;
  }
  sys_arch_unprotect(level);
  if (room) {
    mem = mem_malloc(element_size[type]);
  }
  if (mem == NULL) {
    level = sys_arch_protect();
    refused[type]++;
    if (room) {
      used[type]--;
    }
    sys_arch_unprotect(level);
  }
  return mem;
}

void memp_free(memp_t type, void *mem) {
  sys_prot_t level;
  if (mem == NULL) {
    return;
  }
  if (type == MEMP_SYS_TIMEOUT) {
    give_timeout(mem);
    return;
  }
  level = sys_arch_protect();
  used[type]--;
  sys_arch_unprotect(level);
  mem_free(mem);
}

u32_t esl_memp_tcp_pcbs_used(void) {
  return used[MEMP_TCP_PCB];
}

u32_t esl_memp_tcp_pcbs_refused(void) {
  return refused[MEMP_TCP_PCB];
}

u32_t esl_memp_refused(void) {
  u32_t sum = 0;
  unsigned int type;
  for (type = 0; type < MEMP_MAX; type++) {
    sum += refused[type];
  }
  return sum;
}
