#include "toolbox/command.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "toolbox/process.h"

enum {
    READ_SIZE = 64 * 1024,
    QUIET_MS = 25,      /* no output for so long after the program's end: it was all */
    DRAIN_MAX_MS = 500, /* a background process that never stops printing is not waited for */
    KILL_MS = 2000,     /* a killed program that does not die is in the kernel's hands */
    LINGER_MAX = 256,
};

/*
 * RUNNING  -> KILLED | DRAINING      the program runs
 * KILLED   -> DRAINING | OVER        its time is over or nobody wants it; it will be reaped soon
 * DRAINING -> OVER                   it was reaped; what it printed is being read
 * OVER                               on_end was called; pipes that others hold open are still
 * emptied
 */
enum state { RUNNING, KILLED, DRAINING, OVER };

struct dt_command {
    enum state state;
    bool reaped;
    bool timed_out;
    int exit_code;
    int handles; /* open ones of libuv */
    int pipes_open;
    bool fresh; /* output came since the last look */
    uint64_t start_ms, drain_ms;
    char marker[64];
    uv_timer_t timer;
    uv_pipe_t pipes[2];
    struct dt_capture captures[2];
    bool split;
    struct dt_process_watch watch;
    struct dt_command *next_lingering;
    void (*on_end)(void *ctx, const struct dt_command_end *end);
    void *ctx;
};

static unsigned alive; /* not OVER */
static char *read_buffer;
static struct dt_command *lingering; /* newest first */

static void over(struct dt_command *c);

static void forget_lingering(const struct dt_command *c)
{
    for (struct dt_command **at = &lingering; *at != NULL; at = &(*at)->next_lingering) {
        if (*at == c) {
            *at = c->next_lingering;
            return;
        }
    }
}

static void release(struct dt_command *c)
{
    if (c->handles > 0 || !c->reaped || c->state != OVER)
        return;
    forget_lingering(c);
    free(c);
    if (alive == 0 && lingering == NULL) {
        free(read_buffer);
        read_buffer = NULL;
        (void)malloc_trim(0);
    }
}

static void on_handle_closed(uv_handle_t *h)
{
    struct dt_command *c = h->data;
    c->handles--;
    release(c);
}

static void close_pipe(struct dt_command *c, uv_stream_t *s)
{
    if (uv_is_closing((uv_handle_t *)s))
        return;
    uv_close((uv_handle_t *)s, on_handle_closed);
    if (--c->pipes_open == 0 && c->state == DRAINING)
        over(c);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h;
    (void)suggested;
    if (read_buffer == NULL)
        read_buffer = malloc(READ_SIZE);
    *buf = uv_buf_init(read_buffer, read_buffer != NULL ? READ_SIZE : 0);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct dt_command *c = s->data;
    if (n == 0)
        return;
    if (n < 0) {
        close_pipe(c, s);
        return;
    }
    c->fresh = true;
    if (c->state != OVER)
        dt_capture_add(&c->captures[s == (uv_stream_t *)&c->pipes[1]], buf->base, (size_t)n);
}

/* Background processes keep our pipes; too many of them would use up our descriptors. */
static void linger(struct dt_command *c)
{
    c->next_lingering = lingering;
    lingering = c;
    int n = 0;
    for (struct dt_command *l = lingering; l != NULL; l = l->next_lingering) {
        if (++n <= LINGER_MAX)
            continue;
        for (int i = 0; i < (l->split ? 2 : 1); i++)
            close_pipe(l, (uv_stream_t *)&l->pipes[i]);
    }
}

static void over(struct dt_command *c)
{
    if (c->state == OVER)
        return;
    c->state = OVER;
    alive--;
    const struct dt_command_end end = {
        .exit_code = c->exit_code,
        .timed_out = c->timed_out,
        .duration_ms = dt_clock_ms() - c->start_ms,
        .out = &c->captures[0],
        .errors = c->split ? &c->captures[1] : NULL,
    };
    if (c->on_end != NULL)
        c->on_end(c->ctx, &end);
    dt_capture_done(&c->captures[0]);
    dt_capture_done(&c->captures[1]);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    if (c->pipes_open > 0)
        linger(c);
}

static void kill_tree(struct dt_command *c)
{
    c->state = KILLED;
    dt_process_kill_tree(c->watch.pid, c->marker);
}

static void on_timer(uv_timer_t *t)
{
    struct dt_command *c = t->data;
    switch (c->state) {
    case RUNNING:
        c->timed_out = true;
        kill_tree(c);
        (void)uv_timer_start(t, on_timer, KILL_MS, 0);
        break;
    case KILLED:
        dt_log(DT_LOG_WARN, "a killed command does not end", NULL);
        over(c);
        break;
    case DRAINING:
        if (c->fresh && dt_clock_ms() - c->drain_ms < DRAIN_MAX_MS) {
            c->fresh = false;
            break;
        }
        over(c);
        break;
    case OVER:
        break;
    }
}

static void on_exit_status(void *ctx, int status)
{
    struct dt_command *c = ctx;
    c->reaped = true;
    c->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (c->state == OVER) {
        release(c);
        return;
    }
    c->state = DRAINING;
    c->fresh = true;
    c->drain_ms = dt_clock_ms();
    if (c->pipes_open == 0)
        over(c);
    else
        (void)uv_timer_start(&c->timer, on_timer, QUIET_MS, QUIET_MS);
}

static int open_pipe(struct dt_command *c, uv_loop_t *loop, int i, int *write_end,
                     struct dt_err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return dt_err_errno(err, "pipe");
    *write_end = ends[1];
    (void)uv_pipe_init(loop, &c->pipes[i], 0);
    c->pipes[i].data = c;
    c->handles++;
    c->pipes_open++;
    int r = uv_pipe_open(&c->pipes[i], ends[0]);
    if (r < 0) {
        (void)close(ends[0]);
        return dt_err_set(err, DT_E_SYSTEM, "pipe: %s", uv_strerror(r));
    }
    r = uv_read_start((uv_stream_t *)&c->pipes[i], on_alloc, on_read);
    return r < 0 ? dt_err_set(err, DT_E_SYSTEM, "pipe: %s", uv_strerror(r)) : 0;
}

static int spawn(struct dt_command *c, struct dt_toolbox *tb, const struct dt_command_opts *o,
                 struct dt_err *err)
{
    DT_AUTO_FD int out = -1;
    DT_AUTO_FD int errors = -1;
    const char *more[16] = {c->marker};
    for (size_t i = 0; o->more_env != NULL && o->more_env[i] != NULL && i < 14; i++)
        more[i + 1] = o->more_env[i];
    DT_AUTO_FREE char **env = dt_guest_env(&tb->guest, o->env, more, err);
    if (env == NULL || open_pipe(c, tb->loop, 0, &out, err) < 0 ||
        (o->split && open_pipe(c, tb->loop, 1, &errors, err) < 0))
        return -1;
    const struct dt_process_opts p = {
        .argv = o->argv,
        .env = env,
        .cwd = o->cwd,
        .in = o->in > 0 ? o->in : -1,
        .out = out,
        .errors = o->split ? errors : out,
        .extra = {o->extra[0], o->extra[1]},
        .oom_fd = tb->guest.oom_fd,
    };
    pid_t pid;
    if (dt_process_spawn(&p, &pid, err) < 0)
        return -1;
    dt_process_watch(&c->watch, pid, on_exit_status, c);
    return 0;
}

static struct dt_command *make(struct dt_toolbox *tb, const struct dt_command_opts *o)
{
    struct dt_command *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    char random[25];
    dt_rand_alnum(random, 24);
    (void)snprintf(c->marker, sizeof(c->marker), "DAYTONA_COMMAND_ID=%s", random);
    dt_capture_init(&c->captures[0], o->limit, tb->output_dir, o->split ? "stdout" : "output");
    dt_capture_init(&c->captures[1], o->limit, tb->output_dir, "stderr");
    c->split = o->split;
    c->start_ms = dt_clock_ms();
    (void)uv_timer_init(tb->loop, &c->timer);
    c->timer.data = c;
    c->handles = 1;
    return c;
}

int dt_command_start(struct dt_toolbox *tb, const struct dt_command_opts *o,
                     struct dt_command **ret, struct dt_err *err)
{
    if (alive >= DT_COMMANDS_MAX)
        return dt_err_set(err, DT_E_LIMIT, "%d commands run already; wait for one to end",
                          DT_COMMANDS_MAX);
    struct dt_command *c = make(tb, o);
    if (c == NULL)
        return dt_err_set(err, DT_E_NOMEM, "command");
    alive++;
    if (spawn(c, tb, o, err) < 0) {
        c->reaped = true;
        for (int i = 0; i < 2; i++) {
            if (c->pipes[i].data == c)
                close_pipe(c, (uv_stream_t *)&c->pipes[i]);
        }
        over(c);
        return -1;
    }
    c->on_end = o->on_end;
    c->ctx = o->ctx;
    if (o->timeout_ms > 0)
        (void)uv_timer_start(&c->timer, on_timer, o->timeout_ms, 0);
    *ret = c;
    return 0;
}

void dt_command_cancel(struct dt_command *c)
{
    c->on_end = NULL;
    if (c->state == RUNNING) {
        kill_tree(c);
        (void)uv_timer_start(&c->timer, on_timer, KILL_MS, 0);
    }
}
