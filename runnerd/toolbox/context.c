#include "toolbox/context.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/rand.h"

/*
 * WAITING     -> STARTING | over     in the queue
 * STARTING    -> RUNNING | KILLED    given to the process, which has not begun
 * RUNNING     -> INTERRUPTED | over  the program runs, and its time
 * INTERRUPTED -> KILLED | over       it was told to end
 * KILLED      -> over                its process is being ended
 */
enum state { WAITING, STARTING, RUNNING, INTERRUPTED, KILLED };

struct dt_context_job {
    struct dt_context_job *next;
    struct dt_context *context;
    enum state state;
    bool interrupt; /* wanted as soon as it has begun */
    bool timed_out;
    struct dt_buf code;
    json_t *envs;
    uint64_t timeout_ms;
    const struct dt_context_events *events; /* NULL: cancelled */
    void *ctx;
};

struct dt_context {
    struct dt_context *next;
    struct dt_toolbox *tb;
    char id[DT_UUID_SIZE];
    char *cwd;
    int64_t created_ms;
    bool is_default;
    bool deleted;
    struct dt_worker *worker;   /* NULL: not started, or ended */
    struct dt_context_job *job; /* not WAITING */
    struct dt_context_job *queue, **queue_end;
    unsigned queued;
    uv_timer_t timer;
    uv_async_t turn; /* looks at the queue from the loop */
    int handles;
};

static struct dt_context *contexts; /* in the order they were made */
static struct dt_context *default_context;

/* --- the end of a job --- */

static void free_job(struct dt_context_job *j)
{
    dt_buf_done(&j->code);
    json_decref(j->envs);
    free(j);
}

static void end_job(struct dt_context_job *j, enum dt_context_end end, const char *text)
{
    if (j->events != NULL)
        j->events->on_end(j->ctx, end, text);
    free_job(j);
}

static void end_current(struct dt_context *c, enum dt_context_end end, const char *text)
{
    struct dt_context_job *j = c->job;
    c->job = NULL;
    (void)uv_timer_stop(&c->timer);
    if (c->worker != NULL)
        dt_worker_pause(c->worker, false);
    if (j != NULL)
        end_job(j, j->timed_out ? DT_CONTEXT_TIMED_OUT : end, text);
    (void)uv_async_send(&c->turn);
}

static void end_queue(struct dt_context *c, enum dt_context_end end, const char *text)
{
    while (c->queue != NULL) {
        struct dt_context_job *j = c->queue;
        c->queue = j->next;
        end_job(j, end, text);
    }
    c->queue_end = &c->queue;
    c->queued = 0;
}

static void unqueue(struct dt_context_job *j)
{
    struct dt_context *c = j->context;
    struct dt_context_job **at = &c->queue;
    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
    if (*at == NULL)
        c->queue_end = at;
    c->queued--;
}

/* --- time --- */

static void on_timer(uv_timer_t *t);

static void kill_worker(struct dt_context *c, const char *text)
{
    dt_worker_free(c->worker);
    c->worker = NULL;
    end_current(c, DT_CONTEXT_DIED, text);
    if (!c->is_default)
        end_queue(c, DT_CONTEXT_DIED, "the context's interpreter was ended");
}

static void interrupt(struct dt_context *c)
{
    struct dt_context_job *j = c->job;
    j->interrupt = true;
    if (j->state == RUNNING)
        dt_worker_interrupt(c->worker);
    if (j->state == STARTING || j->state == RUNNING)
        (void)uv_timer_start(&c->timer, on_timer, DT_CONTEXT_KILL_MS, 0);
    if (j->state == RUNNING)
        j->state = INTERRUPTED;
}

static void on_timer(uv_timer_t *t)
{
    struct dt_context *c = t->data;
    struct dt_context_job *j = c->job;
    if (j == NULL)
        return;
    if (j->state == RUNNING) {
        j->timed_out = true;
        interrupt(c);
    } else {
        kill_worker(c, j->state == STARTING ? "the interpreter did not come up"
                                            : "the program did not end when it was interrupted");
    }
}

/* --- what the worker tells --- */

static void on_begin(void *ctx)
{
    struct dt_context *c = ctx;
    struct dt_context_job *j = c->job;
    if (j == NULL || j->state != STARTING)
        return;
    j->state = RUNNING;
    (void)uv_timer_stop(&c->timer);
    if (j->interrupt)
        interrupt(c);
    else if (j->timeout_ms > 0)
        (void)uv_timer_start(&c->timer, on_timer, j->timeout_ms, 0);
}

/* Between programs, and when nobody listens, output is dropped. */
static const struct dt_context_job *listener(const struct dt_context *c)
{
    return c->job != NULL && c->job->events != NULL ? c->job : NULL;
}

static void on_output(void *ctx, bool errors, struct dt_str text)
{
    const struct dt_context_job *j = listener(ctx);
    if (j != NULL)
        j->events->on_output(j->ctx, errors, text);
}

static void on_error(void *ctx, const char *name, const char *value, const char *traceback)
{
    const struct dt_context_job *j = listener(ctx);
    if (j != NULL)
        j->events->on_error(j->ctx, name, value, traceback);
}

static void on_chart(void *ctx, struct dt_str json)
{
    const struct dt_context_job *j = listener(ctx);
    if (j != NULL)
        j->events->on_chart(j->ctx, json);
}

static void on_done(void *ctx, bool interrupted)
{
    struct dt_context *c = ctx;
    if (c->job != NULL && c->job->state != STARTING)
        end_current(c, interrupted ? DT_CONTEXT_INTERRUPTED : DT_CONTEXT_COMPLETED, "");
}

static void on_worker_exit(void *ctx, const char *how)
{
    struct dt_context *c = ctx;
    char text[160];
    c->worker = NULL;
    (void)snprintf(text, sizeof(text), "worker process ended: %s", how);
    if (c->job != NULL)
        end_current(c, DT_CONTEXT_DIED, text);
    if (!c->is_default)
        end_queue(c, DT_CONTEXT_DIED, text);
}

static const struct dt_worker_events worker_events = {
    .on_begin = on_begin,
    .on_output = on_output,
    .on_error = on_error,
    .on_chart = on_chart,
    .on_done = on_done,
    .on_exit = on_worker_exit,
};

/* --- the queue --- */

static int start_job(struct dt_context *c, struct dt_context_job *j, struct dt_err *err)
{
    if (c->worker == NULL &&
        (!c->is_default || dt_worker_new(c->tb, c->cwd, &worker_events, c, &c->worker, err) < 0))
        return c->is_default ? -1 : dt_err_set(err, DT_E_GONE, "context is not active");
    if (dt_worker_run(c->worker, dt_buf_str(&j->code), j->envs, err) < 0)
        return -1;
    dt_buf_done(&j->code);
    j->state = STARTING;
    c->job = j;
    (void)uv_timer_start(&c->timer, on_timer, DT_CONTEXT_START_MS, 0);
    return 0;
}

static void on_turn(uv_async_t *a)
{
    struct dt_context *c = a->data;
    while (!c->deleted && c->job == NULL && c->queue != NULL) {
        struct dt_context_job *j = c->queue;
        struct dt_err err;
        unqueue(j);
        if (start_job(c, j, &err) < 0)
            end_job(j, DT_CONTEXT_FAILED, err.msg);
    }
}

int dt_context_run(struct dt_context *c, struct dt_str code, json_t *envs, uint64_t timeout_ms,
                   const struct dt_context_events *events, void *ctx, struct dt_context_job **ret,
                   struct dt_err *err)
{
    if (!dt_context_is_active(c))
        return dt_err_set(err, DT_E_GONE, "context is not active");
    if (c->queued >= DT_CONTEXT_QUEUE_MAX)
        return dt_err_set(err, DT_E_LIMIT, "%d programs wait for this context already",
                          DT_CONTEXT_QUEUE_MAX);
    struct dt_context_job *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return dt_err_set(err, DT_E_NOMEM, "program");
    dt_buf_init(&j->code, code.n);
    if (dt_buf_adds(&j->code, code, err) < 0) {
        free(j);
        return -1;
    }
    j->context = c;
    j->envs = json_incref(envs);
    j->timeout_ms = timeout_ms;
    j->events = events;
    j->ctx = ctx;
    *c->queue_end = j;
    c->queue_end = &j->next;
    c->queued++;
    (void)uv_async_send(&c->turn);
    *ret = j;
    return 0;
}

void dt_context_job_cancel(struct dt_context_job *j)
{
    j->events = NULL;
    if (j->state == WAITING) {
        unqueue(j);
        free_job(j);
        return;
    }
    dt_worker_pause(j->context->worker, false);
    interrupt(j->context);
}

void dt_context_job_interrupt(struct dt_context_job *j)
{
    if (j->state == WAITING) {
        unqueue(j);
        end_job(j, DT_CONTEXT_INTERRUPTED, "");
        return;
    }
    interrupt(j->context);
}

void dt_context_job_pause(struct dt_context_job *j, bool pause)
{
    if (j->state != WAITING)
        dt_worker_pause(j->context->worker, pause);
}

/* --- the registry --- */

static void on_handle_closed(uv_handle_t *h)
{
    struct dt_context *c = h->data;
    if (--c->handles > 0)
        return;
    free(c->cwd);
    free(c);
}

static struct dt_context *make(struct dt_toolbox *tb, const char *cwd, struct dt_err *err)
{
    struct dt_context *c = calloc(1, sizeof(*c));
    if (c == NULL || (c->cwd = strdup(cwd)) == NULL) {
        free(c);
        (void)dt_err_set(err, DT_E_NOMEM, "context");
        return NULL;
    }
    int r = uv_async_init(tb->loop, &c->turn, on_turn);
    if (r < 0) {
        free(c->cwd);
        free(c);
        (void)dt_err_set(err, DT_E_SYSTEM, "context: %s", uv_strerror(r));
        return NULL;
    }
    (void)uv_timer_init(tb->loop, &c->timer);
    c->timer.data = c->turn.data = c;
    c->handles = 2;
    c->tb = tb;
    c->created_ms = dt_clock_real_ms();
    c->queue_end = &c->queue;
    dt_rand_uuid(c->id);
    return c;
}

static void unmake(struct dt_context *c)
{
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    uv_close((uv_handle_t *)&c->turn, on_handle_closed);
}

int dt_context_new(struct dt_toolbox *tb, const char *cwd, struct dt_context **ret,
                   struct dt_err *err)
{
    unsigned n = 0;
    struct dt_context **last = &contexts;
    for (; *last != NULL; last = &(*last)->next)
        n++;
    if (n >= DT_CONTEXTS_MAX)
        return dt_err_set(err, DT_E_LIMIT, "there are %d contexts already; delete one", n);
    struct dt_context *c = make(tb, cwd, err);
    if (c == NULL)
        return -1;
    if (dt_worker_new(tb, cwd, &worker_events, c, &c->worker, err) < 0) {
        unmake(c);
        return -1;
    }
    *last = *ret = c;
    return 0;
}

static int find_default(struct dt_toolbox *tb, struct dt_context **ret, struct dt_err *err)
{
    if (default_context == NULL) {
        DT_AUTO_FREE char *cwd = dt_guest_cwd(&tb->guest, NULL, err);
        default_context = cwd == NULL ? NULL : make(tb, cwd, err);
        if (default_context == NULL)
            return dt_err_wrap(err, "failed to get default context");
        default_context->is_default = true;
    }
    *ret = default_context;
    return 0;
}

int dt_context_find(struct dt_toolbox *tb, struct dt_str id, struct dt_context **ret,
                    struct dt_err *err)
{
    if (id.n == 0 || dt_str_eq(id, DT_STR("default")))
        return find_default(tb, ret, err);
    for (struct dt_context *c = contexts; c != NULL; c = c->next) {
        if (dt_str_eq(id, dt_str_z(c->id))) {
            *ret = c;
            return 0;
        }
    }
    return dt_err_set(err, DT_E_NOT_FOUND, "context not found: %.*s", (int)id.n, id.p);
}

int dt_context_delete(struct dt_context *c, struct dt_err *err)
{
    if (c->is_default)
        return dt_err_set(err, DT_E_BAD_REQUEST, "the default context cannot be deleted");
    struct dt_context **at = &contexts;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->deleted = true;
    dt_worker_free(c->worker);
    c->worker = NULL;
    end_current(c, DT_CONTEXT_DELETED, "context was deleted");
    end_queue(c, DT_CONTEXT_DELETED, "context was deleted");
    unmake(c);
    return 0;
}

struct dt_context *dt_context_next(const struct dt_context *c)
{
    return c == NULL ? contexts : c->next;
}

const char *dt_context_id(const struct dt_context *c)
{
    return c->id;
}

const char *dt_context_cwd(const struct dt_context *c)
{
    return c->cwd;
}

int64_t dt_context_created_ms(const struct dt_context *c)
{
    return c->created_ms;
}

bool dt_context_is_active(const struct dt_context *c)
{
    return c->is_default || c->worker != NULL;
}
