#include "mcp/stdio.h"

#include <fcntl.h>
#include <poll.h>

#include "base/clock.h"

enum {
    READ_SIZE = 64 * 1024,
    EAGER_SIZE = 16 * 1024,  /* waiting output that does not wait for the next turn */
    KEEP_SIZE = 1024 * 1024, /* a part buffer above this is given back after its line */
};

struct dt_stdio {
    uv_loop_t *loop;
    const struct dt_stdio_events *events;
    void *ctx;
    int in_fd;
    int out_fd;
    bool polled_in;  /* `in` can be watched (pipe, socket, terminal); else it is read by `idle` */
    bool polled_out; /* likewise; else writes are made at once, as files take them */
    bool reading;
    bool waiting_out;
    bool ended;
    uv_poll_t in;
    uv_poll_t out;
    uv_idle_t idle;
    uv_prepare_t flush; /* once a turn of the loop: many answers, one write */
    int handles;
    struct dt_lines lines;
    struct dt_buf queue;
    size_t sent;              /* bytes of `queue` already written */
    size_t chunk_at, chunk_n; /* what was read but not cut into lines yet */
    char chunk[READ_SIZE];
};

void dt_lines_init(struct dt_lines *l, size_t max)
{
    dt_buf_init(&l->part, max);
    l->skipping = false;
}

void dt_lines_done(struct dt_lines *l)
{
    dt_buf_done(&l->part);
}

static bool is_blank(struct dt_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r')
            return false;
    }
    return true;
}

static void give_line(struct dt_str line, const struct dt_stdio_events *events, void *ctx)
{
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (!is_blank(line))
        events->on_line(ctx, line);
}

/* Adds to the unfinished line, or starts to skip it. */
static int keep(struct dt_lines *l, struct dt_str piece, const struct dt_stdio_events *events,
                void *ctx, struct dt_err *err)
{
    if (l->skipping)
        return 0;
    if (piece.n <= l->part.max - l->part.n)
        return dt_buf_adds(&l->part, piece, err);
    l->skipping = true;
    dt_buf_done(&l->part);
    events->on_too_long(ctx);
    return 0;
}

static void finish_line(struct dt_lines *l, const struct dt_stdio_events *events, void *ctx)
{
    if (!l->skipping)
        give_line(dt_buf_str(&l->part), events, ctx);
    l->skipping = false;
    if (l->part.cap > KEEP_SIZE)
        dt_buf_done(&l->part);
    else
        dt_buf_clear(&l->part);
}

int dt_lines_feed(struct dt_lines *l, const char *p, size_t n, const struct dt_stdio_events *events,
                  void *ctx, struct dt_err *err)
{
    while (n > 0) {
        const char *lf = memchr(p, '\n', n);
        size_t len = lf != NULL ? (size_t)(lf - p) : n;
        bool whole = lf != NULL && l->part.n == 0 && !l->skipping && len <= l->part.max;
        if (whole)
            give_line(dt_str(p, len), events, ctx);
        else if (keep(l, dt_str(p, len), events, ctx, err) < 0)
            return -1;
        else if (lf != NULL)
            finish_line(l, events, ctx);
        size_t used = lf != NULL ? len + 1 : len;
        p += used;
        n -= used;
    }
    return 0;
}

void dt_lines_end(struct dt_lines *l, const struct dt_stdio_events *events, void *ctx)
{
    if (l->part.n > 0)
        finish_line(l, events, ctx);
}

static size_t queued(const struct dt_stdio *s)
{
    return s->queue.n - s->sent;
}

bool dt_stdio_is_congested(const struct dt_stdio *s)
{
    return queued(s) > DT_STDIO_HIGH_MARK;
}

static void finish(struct dt_stdio *s)
{
    if (s->ended)
        return;
    s->ended = true;
    s->events->on_end(s->ctx);
}

static void on_readable(uv_poll_t *h, int status, int events);
static void on_idle(uv_idle_t *h);
static void on_writable(uv_poll_t *h, int status, int events);

static void set_reading(struct dt_stdio *s, bool wanted)
{
    if (s->reading == wanted || s->ended)
        return;
    s->reading = wanted;
    if (s->polled_in && wanted)
        (void)uv_poll_start(&s->in, UV_READABLE, on_readable);
    else if (s->polled_in)
        (void)uv_poll_stop(&s->in);
    else if (wanted)
        (void)uv_idle_start(&s->idle, on_idle);
    else
        (void)uv_idle_stop(&s->idle);
}

/* Line by line, so that the rest can wait when the answers pile up. */
static int feed(struct dt_stdio *s)
{
    struct dt_err err;
    while (s->chunk_at < s->chunk_n && !dt_stdio_is_congested(s)) {
        const char *p = s->chunk + s->chunk_at;
        const char *lf = memchr(p, '\n', s->chunk_n - s->chunk_at);
        size_t n = lf != NULL ? (size_t)(lf - p) + 1 : s->chunk_n - s->chunk_at;
        s->chunk_at += n;
        if (dt_lines_feed(&s->lines, p, n, s->events, s->ctx, &err) < 0)
            return -1;
    }
    return 0;
}

static void read_some(struct dt_stdio *s)
{
    if (s->chunk_at < s->chunk_n)
        return;
    ssize_t n = read(s->in_fd, s->chunk, sizeof(s->chunk));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    s->chunk_at = 0;
    s->chunk_n = n > 0 ? (size_t)n : 0;
    if (n > 0 && feed(s) == 0)
        return;
    if (n == 0)
        dt_lines_end(&s->lines, s->events, s->ctx);
    set_reading(s, false);
    finish(s);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    (void)status;
    (void)events;
    read_some(h->data);
}

static void on_idle(uv_idle_t *h)
{
    read_some(h->data);
}

/* Writes until the queue is empty or the reader is slow. False: the reader is gone. */
static bool write_some(struct dt_stdio *s)
{
    while (queued(s) > 0) {
        ssize_t n = write(s->out_fd, s->queue.p + s->sent, queued(s));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        s->sent += (size_t)n;
    }
    s->sent = 0;
    if (s->queue.cap > KEEP_SIZE)
        dt_buf_done(&s->queue);
    else
        dt_buf_clear(&s->queue);
    return true;
}

static void flush_queue(struct dt_stdio *s)
{
    bool alive;
    if (s->ended)
        return;
    do
        alive = write_some(s);
    while (alive && s->chunk_at < s->chunk_n && !dt_stdio_is_congested(s) && feed(s) == 0);
    if (!alive) {
        finish(s);
        return;
    }
    bool wait = queued(s) > 0 && s->polled_out;
    if (wait && !s->waiting_out)
        (void)uv_poll_start(&s->out, UV_WRITABLE, on_writable);
    else if (!wait && s->waiting_out)
        (void)uv_poll_stop(&s->out);
    s->waiting_out = wait;
    set_reading(s, !dt_stdio_is_congested(s));
}

static void on_writable(uv_poll_t *h, int status, int events)
{
    (void)status;
    (void)events;
    flush_queue(h->data);
}

static void on_prepare(uv_prepare_t *h)
{
    struct dt_stdio *s = h->data;
    if (queued(s) > 0 && !s->waiting_out)
        flush_queue(s);
}

int dt_stdio_send(struct dt_stdio *s, struct dt_str line, struct dt_err *err)
{
    if (line.n >= DT_STDIO_LINE_OUT_MAX)
        return dt_err_set(err, DT_E_TOO_LARGE, "a message of %zu bytes", line.n);
    if (s->sent > KEEP_SIZE) {
        dt_buf_consume(&s->queue, s->sent);
        s->sent = 0;
    }
    if (dt_buf_reserve(&s->queue, line.n + 1, err) < 0 || dt_buf_adds(&s->queue, line, err) < 0)
        return -1;
    if (dt_buf_add(&s->queue, "\n", 1, err) < 0)
        return -1;
    /* The reader can begin while more is made. Whether it is gone, the next turn finds out. */
    if (queued(s) >= EAGER_SIZE && !s->waiting_out && !s->ended)
        (void)write_some(s);
    return 0;
}

void dt_stdio_flush(struct dt_stdio *s, int ms)
{
    uint64_t deadline = dt_clock_ms() + (uint64_t)ms;
    while (write_some(s) && queued(s) > 0) {
        uint64_t now = dt_clock_ms();
        struct pollfd p = {.fd = s->out_fd, .events = POLLOUT};
        if (now >= deadline || poll(&p, 1, (int)(deadline - now)) <= 0)
            return;
    }
}

static void on_closed(uv_handle_t *h)
{
    struct dt_stdio *s = h->data;
    if (--s->handles > 0)
        return;
    dt_lines_done(&s->lines);
    dt_buf_done(&s->queue);
    free(s);
}

static void own(struct dt_stdio *s, void *handle)
{
    ((uv_handle_t *)handle)->data = s;
    s->handles++;
}

static void open_handles(struct dt_stdio *s)
{
    (void)uv_idle_init(s->loop, &s->idle);
    own(s, &s->idle);
    (void)uv_prepare_init(s->loop, &s->flush);
    own(s, &s->flush);
    (void)uv_prepare_start(&s->flush, on_prepare);
    uv_unref((uv_handle_t *)&s->flush);
    /* Regular files and /dev/null cannot be polled (EPERM); they never block either. */
    s->polled_in = uv_poll_init(s->loop, &s->in, s->in_fd) == 0;
    if (s->polled_in)
        own(s, &s->in);
    s->polled_out = s->out_fd != s->in_fd && uv_poll_init(s->loop, &s->out, s->out_fd) == 0;
    if (s->polled_out)
        own(s, &s->out);
}

int dt_stdio_new(uv_loop_t *loop, int in, int out, const struct dt_stdio_events *events, void *ctx,
                 struct dt_stdio **ret, struct dt_err *err)
{
    if (fcntl(in, F_GETFD) < 0 || fcntl(out, F_GETFD) < 0)
        return dt_err_errno(err, "standard input or output is closed");
    struct dt_stdio *s = malloc(sizeof(*s));
    if (s == NULL)
        return dt_err_set(err, DT_E_NOMEM, "stdio");
    memset(s, 0, offsetof(struct dt_stdio, chunk));
    s->loop = loop;
    s->in_fd = in;
    s->out_fd = out;
    s->events = events;
    s->ctx = ctx;
    dt_lines_init(&s->lines, DT_STDIO_LINE_IN_MAX);
    dt_buf_init(&s->queue, SIZE_MAX / 4);
    open_handles(s);
    set_reading(s, true);
    *ret = s;
    return 0;
}

struct dt_stdio *dt_stdio_free(struct dt_stdio *s)
{
    if (s == NULL)
        return NULL;
    s->ended = true;
    uv_handle_t *all[] = {(uv_handle_t *)&s->idle, (uv_handle_t *)&s->flush,
                          s->polled_in ? (uv_handle_t *)&s->in : NULL,
                          s->polled_out ? (uv_handle_t *)&s->out : NULL};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i] != NULL)
            uv_close(all[i], on_closed);
    }
    return NULL;
}
