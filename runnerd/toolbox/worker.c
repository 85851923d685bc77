#include "toolbox/worker.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/rand.h"
#include "base/utf8.h"
#include "toolbox/json_lines.h"
#include "toolbox/process.h"
#include "toolbox/script.h"

enum {
    OUT,
    ERRORS,
    CHANNEL,
    STREAMS,
    READ_SIZE = 64 * 1024,
    DRAIN_MAX = 1024 * 1024, /* more than any pipe holds */
    EVENT_DEPTH = 4,
};

struct stream {
    uv_pipe_t pipe;
    bool open;
    struct dt_buf held; /* of output: a character that is not whole */
};

struct dt_worker {
    const struct dt_worker_events *events; /* NULL: nobody listens */
    void *ctx;
    struct stream streams[STREAMS];
    struct dt_json_lines lines;
    unsigned open; /* handles that libuv has */
    bool reaped;
    bool paused;
    bool bad; /* it said what it must not */
    struct dt_process_watch watch;
    char marker[64];
};

/* --- its end --- */

static void release(struct dt_worker *w)
{
    if (w->open > 0 || !w->reaped)
        return;
    for (int i = 0; i < STREAMS; i++)
        dt_buf_done(&w->streams[i].held);
    dt_json_lines_done(&w->lines);
    free(w);
    (void)malloc_trim(0);
}

static void on_closed(uv_handle_t *h)
{
    struct dt_worker *w = h->data;
    w->open--;
    release(w);
}

static void close_stream(struct stream *s)
{
    if (s->open && !uv_is_closing((uv_handle_t *)&s->pipe))
        uv_close((uv_handle_t *)&s->pipe, on_closed);
    s->open = false;
}

static void close_all(struct dt_worker *w)
{
    for (int i = 0; i < STREAMS; i++)
        close_stream(&w->streams[i]);
}

static void kill_all(struct dt_worker *w)
{
    if (!w->reaped)
        dt_process_kill_tree(w->watch.pid, w->marker);
}

void dt_worker_free(struct dt_worker *w)
{
    if (w == NULL)
        return;
    w->events = NULL;
    kill_all(w);
    close_all(w);
    release(w);
}

/* --- what programs print --- */

static void put_output(struct dt_worker *w, int i, struct dt_str bytes)
{
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, 3 * bytes.n);
    if (bytes.n > 0 && w->events != NULL && dt_utf8_repair(&text, bytes, NULL) == 0)
        w->events->on_output(w->ctx, i == ERRORS, dt_buf_str(&text));
}

/* Whether the last character may have more bytes to come; how many there are of it. */
static size_t partial(struct dt_str s)
{
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        unsigned char b = (unsigned char)s.p[s.n - back];
        size_t need = b >= 0xf0 && b < 0xf8 ? 4 : b >= 0xe0 ? 3 : b >= 0xc0 ? 2 : 1;
        if ((b & 0xc0) == 0x80)
            continue;
        return need > back ? back : 0;
    }
    return 0;
}

static void take_output(struct dt_worker *w, int i, const char *p, size_t n)
{
    struct dt_buf *held = &w->streams[i].held;
    DT_AUTO_BUF struct dt_buf all;
    dt_buf_init(&all, n + held->n);
    if (dt_buf_adds(&all, dt_buf_str(held), NULL) < 0 || dt_buf_add(&all, p, n, NULL) < 0)
        return; /* no memory for it */
    size_t rest = partial(dt_buf_str(&all));
    dt_buf_clear(held);
    if (rest > 0 && dt_buf_add(held, all.p + all.n - rest, rest, NULL) < 0)
        rest = 0;
    put_output(w, i, dt_str(all.p, all.n - rest));
}

static bool on_line(void *ctx, json_t *event, size_t size);

static void take(struct dt_worker *w, int i, const char *p, size_t n)
{
    if (i == CHANNEL)
        dt_json_lines_feed(&w->lines, dt_str(p, n), on_line, w);
    else
        take_output(w, i, p, n);
}

/* What is in a pipe and the loop has not brought yet. */
static void drain(struct dt_worker *w, int i)
{
    char part[4096];
    ssize_t n;
    size_t total = 0;
    int fd;
    if (!w->streams[i].open || uv_fileno((uv_handle_t *)&w->streams[i].pipe, &fd) < 0)
        return;
    /* A callback may close it. */
    while (w->streams[i].open && total < DRAIN_MAX && (n = read(fd, part, sizeof(part))) > 0) {
        total += (size_t)n;
        take(w, i, part, (size_t)n);
    }
}

static void drain_output(struct dt_worker *w)
{
    for (int i = OUT; i <= ERRORS; i++) {
        struct dt_buf *held = &w->streams[i].held;
        drain(w, i);
        put_output(w, i, dt_buf_str(held));
        dt_buf_done(held);
    }
}

/* --- what it tells --- */

static void take_event(struct dt_worker *w, const json_t *j)
{
    const char *type = dt_json_text(j, "type", "");
    /* What was printed before comes before. */
    drain_output(w);
    if (w->events == NULL)
        return;
    if (strcmp(type, "begin") == 0)
        w->events->on_begin(w->ctx);
    else if (strcmp(type, "error") == 0)
        w->events->on_error(w->ctx, dt_json_text(j, "name", ""), dt_json_text(j, "value", ""),
                            dt_json_text(j, "traceback", ""));
    else if (strcmp(type, "chart") == 0)
        w->events->on_chart(w->ctx, dt_str_z(dt_json_text(j, "text", "")));
    else if (strcmp(type, "done") == 0)
        w->events->on_done(w->ctx, dt_json_bool(j, "interrupted", false));
}

/* The program can write there as well as the worker can; then it has itself to blame. */
static void give_up(struct dt_worker *w, const char *why)
{
    dt_log(DT_LOG_WARN, "an interpreter is ended", "why", why, NULL);
    w->bad = true;
    close_stream(&w->streams[CHANNEL]);
    kill_all(w);
}

static bool on_line(void *ctx, json_t *event, size_t size)
{
    struct dt_worker *w = ctx;
    (void)size;
    if (event != NULL)
        take_event(w, event);
    else
        give_up(w, "what it says is not what its protocol allows");
    return !w->bad;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h;
    (void)suggested;
    char *p = malloc(READ_SIZE);
    *buf = uv_buf_init(p, p != NULL ? READ_SIZE : 0);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct dt_worker *w = s->data;
    for (int i = 0; i < STREAMS; i++) {
        if (s != (uv_stream_t *)&w->streams[i].pipe)
            continue;
        if (n > 0)
            take(w, i, buf->base, (size_t)n);
        else if (n < 0)
            (void)uv_read_stop(s);
    }
    free(buf->base);
}

static void on_exit_status(void *ctx, int status)
{
    struct dt_worker *w = ctx;
    char how[96];
    w->reaped = true;
    if (w->bad)
        (void)snprintf(how, sizeof(how), "it was killed: it broke its protocol");
    else if (WIFSIGNALED(status))
        (void)snprintf(how, sizeof(how), "killed by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    else
        (void)snprintf(how, sizeof(how), "exit status %d", WEXITSTATUS(status));
    if (w->events != NULL)
        drain(w, CHANNEL);
    drain_output(w);
    close_all(w);
    const struct dt_worker_events *events = w->events;
    w->events = NULL;
    if (events != NULL)
        events->on_exit(w->ctx, how);
    release(w);
}

/* --- its beginning --- */

static int open_stream(struct dt_worker *w, uv_loop_t *loop, int i, int fd, struct dt_err *err)
{
    struct stream *s = &w->streams[i];
    (void)uv_pipe_init(loop, &s->pipe, 0);
    s->pipe.data = w;
    s->open = true;
    w->open++;
    int r = uv_pipe_open(&s->pipe, fd);
    if (r < 0) {
        (void)close(fd);
        return dt_err_set(err, DT_E_SYSTEM, "pipe: %s", uv_strerror(r));
    }
    r = uv_read_start((uv_stream_t *)&s->pipe, on_alloc, on_read);
    return r < 0 ? dt_err_set(err, DT_E_SYSTEM, "pipe: %s", uv_strerror(r)) : 0;
}

static int open_streams(struct dt_worker *w, uv_loop_t *loop, int theirs[STREAMS],
                        struct dt_err *err)
{
    for (int i = 0; i < STREAMS; i++) {
        int ends[2];
        int r = i == CHANNEL ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)
                             : pipe2(ends, O_CLOEXEC);
        if (r < 0)
            return dt_err_errno(err, "pipe");
        theirs[i] = ends[1];
        if (open_stream(w, loop, i, ends[0], err) < 0)
            return -1;
    }
    return 0;
}

static int spawn(struct dt_worker *w, struct dt_toolbox *tb, const char *cwd,
                 const int theirs[STREAMS], struct dt_err *err)
{
    static const struct dt_str *const scripts[] = {&dt_script_worker_py, &dt_script_hook_py,
                                                   &dt_script_charts_py};
    const char *const more[] = {w->marker, NULL};
    DT_AUTO_FREE char *program = dt_script_program(&tb->guest, NULL, "python3", err);
    DT_AUTO_FREE char **env = program == NULL ? NULL : dt_guest_env(&tb->guest, NULL, more, err);
    if (env == NULL)
        return -1;
    DT_AUTO_FD int script = dt_script_open(scripts, 3, err);
    if (script < 0)
        return -1;
    const char *const argv[] = {program, "-c", DT_SCRIPT_PYTHON, NULL};
    const struct dt_process_opts o = {
        .argv = argv,
        .env = env,
        .cwd = cwd,
        .in = -1,
        .out = theirs[OUT],
        .errors = theirs[ERRORS],
        .extra = {script, theirs[CHANNEL]},
        .oom_fd = tb->guest.oom_fd,
    };
    pid_t pid;
    if (dt_process_spawn(&o, &pid, err) < 0)
        return -1;
    dt_process_watch(&w->watch, pid, on_exit_status, w);
    return 0;
}

int dt_worker_new(struct dt_toolbox *tb, const char *cwd, const struct dt_worker_events *events,
                  void *ctx, struct dt_worker **ret, struct dt_err *err)
{
    struct dt_worker *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return dt_err_set(err, DT_E_NOMEM, "interpreter");
    char random[25];
    dt_rand_alnum(random, 24);
    (void)snprintf(w->marker, sizeof(w->marker), "DAYTONA_COMMAND_ID=%s", random);
    w->events = events;
    w->ctx = ctx;
    dt_buf_init(&w->streams[OUT].held, 8);
    dt_buf_init(&w->streams[ERRORS].held, 8);
    dt_json_lines_init(&w->lines, DT_WORKER_EVENT_MAX, EVENT_DEPTH);
    int theirs[STREAMS] = {-1, -1, -1};
    int r = open_streams(w, tb->loop, theirs, err);
    if (r == 0)
        r = spawn(w, tb, cwd, theirs, err);
    for (int i = 0; i < STREAMS; i++) {
        if (theirs[i] >= 0)
            (void)close(theirs[i]);
    }
    if (r < 0) {
        w->reaped = true;
        dt_worker_free(w);
        return -1;
    }
    *ret = w;
    return 0;
}

/* --- requests --- */

struct sending {
    uv_write_t write;
    struct dt_buf text;
};

static void on_sent(uv_write_t *write, int status)
{
    struct sending *s = write->data;
    (void)status; /* a worker that is gone tells by its exit */
    dt_buf_done(&s->text);
    free(s);
}

int dt_worker_run(struct dt_worker *w, struct dt_str code, const json_t *envs, struct dt_err *err)
{
    DT_AUTO_JSON json_t *j =
        json_pack("{s:s%,s:O?}", "code", code.p != NULL ? code.p : "", code.n, "envs", envs);
    struct sending *s = calloc(1, sizeof(*s));
    if (j == NULL || s == NULL) {
        free(s);
        return dt_err_set(err, DT_E_NOMEM, "request of the interpreter");
    }
    dt_buf_init(&s->text, (size_t)256 * 1024 * 1024);
    s->write.data = s;
    int r = dt_json_write(j, &s->text, err);
    if (r == 0)
        r = dt_buf_addz(&s->text, "\n", err);
    if (r == 0 && w->streams[CHANNEL].open) {
        const uv_buf_t buf = uv_buf_init(s->text.p, (unsigned)s->text.n);
        r = uv_write(&s->write, (uv_stream_t *)&w->streams[CHANNEL].pipe, &buf, 1, on_sent);
        if (r < 0)
            r = dt_err_set(err, DT_E_SYSTEM, "request of the interpreter: %s", uv_strerror(r));
        else
            return 0;
    }
    dt_buf_done(&s->text);
    free(s);
    return r < 0 ? -1 : dt_err_set(err, DT_E_GONE, "the interpreter is gone");
}

/* The program's children get it too, as from a terminal. */
void dt_worker_interrupt(struct dt_worker *w)
{
    if (!w->reaped)
        (void)kill(-w->watch.pid, SIGINT);
}

void dt_worker_pause(struct dt_worker *w, bool pause)
{
    if (pause == w->paused)
        return;
    w->paused = pause;
    for (int i = 0; i < STREAMS; i++) {
        uv_stream_t *s = (uv_stream_t *)&w->streams[i].pipe;
        if (!w->streams[i].open)
            continue;
        if (pause)
            (void)uv_read_stop(s);
        else
            (void)uv_read_start(s, on_alloc, on_read);
    }
}
