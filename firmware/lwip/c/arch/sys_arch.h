/* Types of the operating system layer, implemented in sys_arch.c. */
#ifndef ESL_ARCH_SYS_ARCH_H
#define ESL_ARCH_SYS_ARCH_H

#include <pthread.h>

struct esl_sem;
struct esl_mutex;
struct esl_mbox;
typedef struct esl_sem *sys_sem_t;
typedef struct esl_mutex *sys_mutex_t;
typedef struct esl_mbox *sys_mbox_t;
typedef pthread_t sys_thread_t;

#define sys_sem_valid(s)             (*(s) != NULL)
#define sys_sem_valid_val(s)         ((s) != NULL)
#define sys_sem_set_invalid(s)       do { *(s) = NULL; } while (0)
#define sys_sem_set_invalid_val(s)   do { (s) = NULL; } while (0)
#define sys_mutex_valid(m)           (*(m) != NULL)
#define sys_mutex_set_invalid(m)     do { *(m) = NULL; } while (0)
#define sys_mbox_valid(m)            (*(m) != NULL)
#define sys_mbox_valid_val(m)        ((m) != NULL)
#define sys_mbox_set_invalid(m)      do { *(m) = NULL; } while (0)
#define sys_mbox_set_invalid_val(m)  do { (m) = NULL; } while (0)

sys_sem_t *esl_thread_sem(void);
#define LWIP_NETCONN_THREAD_SEM_GET()   esl_thread_sem()
#define LWIP_NETCONN_THREAD_SEM_ALLOC() do { } while (0)
#define LWIP_NETCONN_THREAD_SEM_FREE()  do { } while (0)

#endif
