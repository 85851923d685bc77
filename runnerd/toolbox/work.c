#include "toolbox/work.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

enum { STACK_SIZE = 256 * 1024 };

struct job {
    struct job *next;
    void (*work)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
    bool is_long;
};

struct queue {
    struct job *first, **end;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct queue waiting = {NULL, &waiting.first}, waiting_long = {NULL, &waiting_long.first};
static struct job *finished;
static unsigned nwaiting, nthreads, nlong;
static uv_async_t wake;

static void put(struct queue *q, struct job *j)
{
    *q->end = j;
    q->end = &j->next;
    nwaiting++;
}

static struct job *take_from(struct queue *q)
{
    struct job *j = q->first;
    if (j == NULL)
        return NULL;
    q->first = j->next;
    if (q->first == NULL)
        q->end = &q->first;
    nwaiting--;
    return j;
}

/* A thread that finds nothing ends. When it is only that too much long work runs, one of those will
 * take what waits. */
static struct job *take(void)
{
    (void)pthread_mutex_lock(&lock);
    struct job *j = take_from(&waiting);
    if (j == NULL && nlong < DT_WORK_LONG_MAX)
        j = take_from(&waiting_long);
    if (j == NULL)
        nthreads--;
    else if (j->is_long)
        nlong++;
    (void)pthread_mutex_unlock(&lock);
    return j;
}

static void finish(struct job *j)
{
    (void)pthread_mutex_lock(&lock);
    nlong -= j->is_long;
    j->next = finished;
    finished = j;
    (void)pthread_mutex_unlock(&lock);
    (void)uv_async_send(&wake);
}

static void *run(void *unused)
{
    (void)unused;
    struct job *j;
    while ((j = take()) != NULL) {
        j->work(j->ctx);
        finish(j);
    }
    return NULL;
}

static void on_wake(uv_async_t *a)
{
    (void)a;
    (void)pthread_mutex_lock(&lock);
    struct job *list = finished;
    finished = NULL;
    (void)pthread_mutex_unlock(&lock);
    while (list != NULL) {
        struct job *j = list;
        list = j->next;
        j->done(j->ctx);
        free(j);
    }
    (void)malloc_trim(0);
}

int dt_work_init(uv_loop_t *loop, struct dt_err *err)
{
    int r = uv_async_init(loop, &wake, on_wake);
    if (r < 0)
        return dt_err_set(err, DT_E_SYSTEM, "async: %s", uv_strerror(r));
    uv_unref((uv_handle_t *)&wake);
    return 0;
}

static int start_thread(void)
{
    pthread_attr_t attr;
    pthread_t id;
    sigset_t all, old;
    (void)sigfillset(&all);
    if (pthread_attr_init(&attr) != 0)
        return -1;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, STACK_SIZE);
    /* Signals are the loop's. */
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&id, &attr, run, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)pthread_attr_destroy(&attr);
    return r == 0 ? 0 : -1;
}

static int start(struct job like, struct dt_err *err)
{
    struct job *j = malloc(sizeof(*j));
    if (j == NULL)
        return dt_err_set(err, DT_E_NOMEM, "work");
    *j = like;
    (void)pthread_mutex_lock(&lock);
    bool full = nwaiting >= DT_WORK_QUEUE_MAX;
    bool more = !full && nthreads < DT_WORK_THREADS_MAX;
    /* Counted before the lock is left, so that a thread that ends cannot leave the job behind. */
    nthreads += more;
    if (!full && (!more || start_thread() == 0)) {
        put(j->is_long ? &waiting_long : &waiting, j);
        (void)pthread_mutex_unlock(&lock);
        return 0;
    }
    nthreads -= more;
    (void)pthread_mutex_unlock(&lock);
    free(j);
    if (full)
        return dt_err_set(err, DT_E_LIMIT, "more than %d file operations at once",
                          DT_WORK_QUEUE_MAX);
    return dt_err_set(err, DT_E_SYSTEM, "cannot start a thread: the sandbox has no room for it");
}

int dt_work_start(void (*work)(void *ctx), void (*done)(void *ctx), void *ctx, struct dt_err *err)
{
    return start((struct job){.work = work, .done = done, .ctx = ctx}, err);
}

int dt_work_start_long(void (*work)(void *ctx), void (*done)(void *ctx), void *ctx,
                       struct dt_err *err)
{
    return start((struct job){.work = work, .done = done, .ctx = ctx, .is_long = true}, err);
}
