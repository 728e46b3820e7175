/* lwIP's operating system layer on POSIX threads, behaving like ESP-IDF's FreeRTOS port:
 * a mailbox holds exactly as many messages as it was made for, posting waits for room, trying to
 * post to a full one fails, and semaphores, mutexes and mailboxes come from the device's heap. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lwip/opt.h"
#include "lwip/sys.h"
#include "lwip/mem.h"
#include "lwip/priv/api_msg.h"

struct esl_sem {
  pthread_mutex_t lock;
  pthread_cond_t signalled;
  unsigned int count;
};

struct esl_mutex {
  pthread_mutex_t lock;
};

/* One place more than the size, for the end of a connection: lwIP posts the peer's FIN like a segment
 * and never again, so that a FIN which meets a full mailbox would be lost, and the program would wait
 * for ever. ESP-IDF's lwIP delivers it once there is room; in the extra place it waits its turn. */
struct esl_mbox {
  pthread_mutex_t lock;
  pthread_cond_t not_empty;
  pthread_cond_t not_full;
  unsigned int size, used, head;
  void *slots[];
};

static int is_end(void *msg) {
  err_t err;
  return lwip_netconn_is_err_msg(msg, &err);
}

static pthread_condattr_t monotonic;
static pthread_mutex_t protection;
static pthread_key_t thread_sem_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The semaphore of a thread for which the heap had no room: the call it is needed for may well be
 * the one that gives memory back. */
static __thread struct esl_sem spare_sem;
static __thread sys_sem_t thread_sem;

static void sem_setup(struct esl_sem *sem, unsigned int count) {
  pthread_mutex_init(&sem->lock, NULL);
  pthread_cond_init(&sem->signalled, &monotonic);
  sem->count = count;
}

static void thread_sem_drop(void *sem) {
  if (sem != &spare_sem) {
    mem_free(sem);
  }
}

static void init_once(void) {
  pthread_mutexattr_t recursive;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_mutexattr_init(&recursive);
  pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&protection, &recursive);
  pthread_mutexattr_destroy(&recursive);
  pthread_key_create(&thread_sem_key, thread_sem_drop);
}

void sys_init(void) {
  pthread_once(&once, init_once);
}

static u32_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (u32_t)((u64_t)now.tv_sec * 1000u + (u64_t)now.tv_nsec / 1000000u);
}

u32_t sys_now(void) {
  return now_ms();
}

u32_t sys_jiffies(void) {
  return now_ms();
}

void sys_msleep(u32_t ms) {
  struct timespec left = { (time_t)(ms / 1000u), (long)(ms % 1000u) * 1000000L };
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

static struct timespec deadline_after(u32_t ms) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  t.tv_sec += (time_t)(ms / 1000u);
  t.tv_nsec += (long)(ms % 1000u) * 1000000L;
  if (t.tv_nsec >= 1000000000L) {
    t.tv_sec += 1;
    t.tv_nsec -= 1000000000L;
  }
  return t;
}

/* Waits for the condition; a timeout of 0 waits for ever, as lwIP's calls mean it. */
static int wait_on(pthread_cond_t *cond, pthread_mutex_t *lock, u32_t timeout, const struct timespec *deadline) {
  if (timeout == 0) {
    return pthread_cond_wait(cond, lock);
  }
  return pthread_cond_timedwait(cond, lock, deadline);
}

/* ---- semaphores ---- */

err_t sys_sem_new(sys_sem_t *sem, u8_t count) {
  *sem = (sys_sem_t)mem_malloc(sizeof(struct esl_sem));
  if (*sem == NULL) {
    return ERR_MEM;
  }
  sem_setup(*sem, count);
  return ERR_OK;
}

void sys_sem_free(sys_sem_t *sem) {
  pthread_cond_destroy(&(*sem)->signalled);
  pthread_mutex_destroy(&(*sem)->lock);
  mem_free(*sem);
}

void sys_sem_signal(sys_sem_t *sem) {
  struct esl_sem *s = *sem;
  pthread_mutex_lock(&s->lock);
  if (s->count == 0) { /* binary, as the FreeRTOS port makes them */
    s->count = 1;
  }
  pthread_cond_signal(&s->signalled);
  pthread_mutex_unlock(&s->lock);
}

u32_t sys_arch_sem_wait(sys_sem_t *sem, u32_t timeout) {
  struct esl_sem *s = *sem;
  struct timespec deadline = deadline_after(timeout);
  u32_t start = now_ms();
  int timed_out = 0;
  pthread_mutex_lock(&s->lock);
  while (s->count == 0 && !timed_out) {
    timed_out = wait_on(&s->signalled, &s->lock, timeout, &deadline) == ETIMEDOUT;
  }
  if (s->count == 0) {
    pthread_mutex_unlock(&s->lock);
    return SYS_ARCH_TIMEOUT;
  }
  s->count = 0;
  pthread_mutex_unlock(&s->lock);
  return now_ms() - start;
}

sys_sem_t *esl_thread_sem(void) {
  if (thread_sem == NULL) {
    sys_init();
    if (sys_sem_new(&thread_sem, 0) != ERR_OK) {
      sem_setup(&spare_sem, 0);
      thread_sem = &spare_sem;
    }
    pthread_setspecific(thread_sem_key, thread_sem);
  }
  return &thread_sem;
}

/* A thread that no device has takes nothing of the device's heap. */
void esl_thread_is_no_task(void) {
  if (thread_sem == NULL) {
    sem_setup(&spare_sem, 0);
    thread_sem = &spare_sem;
    pthread_setspecific(thread_sem_key, thread_sem);
  }
}

/* For the waker of poll(): the semaphore of the calling thread, signalled from another one. */
void *esl_poll_sem(void) {
  return *esl_thread_sem();
}

void esl_poll_sem_signal(void *sem) {
  sys_sem_t s = (sys_sem_t)sem;
  sys_sem_signal(&s);
}

void esl_poll_sem_clear(void) {
  struct esl_sem *s = *esl_thread_sem();
  pthread_mutex_lock(&s->lock);
  s->count = 0;
  pthread_mutex_unlock(&s->lock);
}

/* ---- mutexes ---- */

err_t sys_mutex_new(sys_mutex_t *mutex) {
  *mutex = (sys_mutex_t)mem_malloc(sizeof(struct esl_mutex));
  if (*mutex == NULL) {
    return ERR_MEM;
  }
  pthread_mutex_init(&(*mutex)->lock, NULL);
  return ERR_OK;
}

void sys_mutex_free(sys_mutex_t *mutex) {
  pthread_mutex_destroy(&(*mutex)->lock);
  mem_free(*mutex);
}

void sys_mutex_lock(sys_mutex_t *mutex) {
  pthread_mutex_lock(&(*mutex)->lock);
}

void sys_mutex_unlock(sys_mutex_t *mutex) {
  pthread_mutex_unlock(&(*mutex)->lock);
}

/* ---- mailboxes ---- */

err_t sys_mbox_new(sys_mbox_t *mbox, int size) {
  struct esl_mbox *m;
  if (size < 1) {
    size = 1;
  }
  m = (struct esl_mbox *)mem_malloc(sizeof(struct esl_mbox) + ((size_t)size + 1u) * sizeof(void *));
  *mbox = m;
  if (m == NULL) {
    return ERR_MEM;
  }
  pthread_mutex_init(&m->lock, NULL);
  pthread_cond_init(&m->not_empty, &monotonic);
  pthread_cond_init(&m->not_full, &monotonic);
  m->size = (unsigned int)size;
  m->used = 0;
  m->head = 0;
  return ERR_OK;
}

void sys_mbox_free(sys_mbox_t *mbox) {
  struct esl_mbox *m = *mbox;
  pthread_cond_destroy(&m->not_full);
  pthread_cond_destroy(&m->not_empty);
  pthread_mutex_destroy(&m->lock);
  mem_free(m);
  *mbox = NULL;
}

static void put(struct esl_mbox *m, void *msg) {
  m->slots[(m->head + m->used) % (m->size + 1u)] = msg;
  m->used++;
  pthread_cond_signal(&m->not_empty);
}

static void *take(struct esl_mbox *m) {
  void *msg = m->slots[m->head];
  m->head = (m->head + 1u) % (m->size + 1u);
  m->used--;
  pthread_cond_signal(&m->not_full);
  return msg;
}

void sys_mbox_post(sys_mbox_t *mbox, void *msg) {
  struct esl_mbox *m = *mbox;
  pthread_mutex_lock(&m->lock);
  while (m->used >= m->size) {
    pthread_cond_wait(&m->not_full, &m->lock);
  }
  put(m, msg);
  pthread_mutex_unlock(&m->lock);
}

err_t sys_mbox_trypost(sys_mbox_t *mbox, void *msg) {
  struct esl_mbox *m = *mbox;
  err_t err = ERR_MEM;
  pthread_mutex_lock(&m->lock);
  if (m->used < m->size + (is_end(msg) ? 1u : 0u)) {
    put(m, msg);
    err = ERR_OK;
  }
  pthread_mutex_unlock(&m->lock);
  return err;
}

err_t sys_mbox_trypost_fromisr(sys_mbox_t *mbox, void *msg) {
  return sys_mbox_trypost(mbox, msg);
}

u32_t sys_arch_mbox_fetch(sys_mbox_t *mbox, void **msg, u32_t timeout) {
  struct esl_mbox *m = *mbox;
  struct timespec deadline = deadline_after(timeout);
  u32_t start = now_ms();
  int timed_out = 0;
  void *taken;
  pthread_mutex_lock(&m->lock);
  while (m->used == 0 && !timed_out) {
    timed_out = wait_on(&m->not_empty, &m->lock, timeout, &deadline) == ETIMEDOUT;
  }
  if (m->used == 0) {
    pthread_mutex_unlock(&m->lock);
    if (msg != NULL) {
      *msg = NULL;
    }
    return SYS_ARCH_TIMEOUT;
  }
  taken = take(m);
  pthread_mutex_unlock(&m->lock);
  if (msg != NULL) {
    *msg = taken;
  }
  return now_ms() - start;
}

u32_t sys_arch_mbox_tryfetch(sys_mbox_t *mbox, void **msg) {
  struct esl_mbox *m = *mbox;
  void *taken;
  pthread_mutex_lock(&m->lock);
  if (m->used == 0) {
    pthread_mutex_unlock(&m->lock);
    return SYS_MBOX_EMPTY;
  }
  taken = take(m);
  pthread_mutex_unlock(&m->lock);
  if (msg != NULL) {
    *msg = taken;
  }
  return 0;
}

/* ---- threads, protection, randomness ---- */

struct start {
  lwip_thread_fn run;
  void *arg;
};

static void *thread_main(void *start) {
  struct start s = *(struct start *)start;
  free(start);
  s.run(s.arg);
  return NULL;
}

sys_thread_t sys_thread_new(const char *name, lwip_thread_fn thread, void *arg, int stacksize, int prio) {
  pthread_t id;
  struct start *s = (struct start *)malloc(sizeof *s);
  LWIP_UNUSED_ARG(name);
  LWIP_UNUSED_ARG(stacksize);
  LWIP_UNUSED_ARG(prio);
  LWIP_ASSERT("memory for a thread's start", s != NULL);
  s->run = thread;
  s->arg = arg;
  LWIP_ASSERT("a thread for lwIP", pthread_create(&id, NULL, thread_main, s) == 0);
  pthread_detach(id);
  return id;
}

sys_prot_t sys_arch_protect(void) {
  pthread_mutex_lock(&protection);
  return 0;
}

void sys_arch_unprotect(sys_prot_t level) {
  LWIP_UNUSED_ARG(level);
  pthread_mutex_unlock(&protection);
}

static u64_t random_state = 1;

void esl_rand_seed(u64_t seed) {
  random_state = seed;
}

/* SplitMix64: every seed, 0 too, gives a full-period sequence. */
u32_t esl_rand(void) {
  u64_t z;
  sys_prot_t level = sys_arch_protect();
  random_state += 0x9e3779b97f4a7c15u;
  z = random_state;
  sys_arch_unprotect(level);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (u32_t)((z ^ (z >> 31)) >> 32);
}

void esl_assert_failed(const char *what, const char *file, int line) {
  fprintf(stderr, "lwIP assertion failed: %s (%s:%d)\n", what, file, line);
  fflush(NULL);
  abort();
}
