#include "toolbox/pipes.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>

enum { READ_SIZE = 32 * 1024, LOOK_MS = 1, LOOK_MAX_MS = 100 };

struct dt_inpipe {
    uv_poll_t poll;
    int fd;
    dt_inpipe_data *on_data;
    void *ctx;
};

/*
 * OPEN -> ENDING   nothing more will be written
 * ENDING -> ALONE  all is written; our reading end is closed
 * ALONE -> OVER    somebody reads it: the writing end is closed, too
 */
enum outpipe_state { OPEN, ENDING, ALONE, OVER };

struct dt_outpipe {
    enum outpipe_state state;
    uv_poll_t poll;
    uv_timer_t timer; /* there from ENDING on */
    unsigned handles;
    int fd;   /* -1 from ALONE on */
    int last; /* for writing only; -1: none yet, or no more */
    uint64_t look_ms;
    struct dt_buf waiting;
};

/* --- reading --- */

static void on_in_closed(uv_handle_t *h)
{
    free(h->data);
}

struct dt_inpipe *dt_inpipe_close(struct dt_inpipe *p)
{
    if (p != NULL) {
        uv_close((uv_handle_t *)&p->poll, on_in_closed);
        dt_closep(&p->fd);
    }
    return NULL;
}

/* Returns how much was read: 0 at the end, when the pipe is closed; -1 when there is nothing. */
static ssize_t take(struct dt_inpipe *p)
{
    char bytes[READ_SIZE]; /* not shared: what is read may lead to another read */
    ssize_t n;
    do
        n = read(p->fd, bytes, sizeof(bytes));
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return -1;
    if (n < 0)
        n = 0;
    dt_inpipe_data *on_data = p->on_data;
    void *ctx = p->ctx;
    if (n == 0)
        (void)dt_inpipe_close(p);
    on_data(ctx, bytes, (size_t)n);
    return n;
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    (void)status;
    (void)events;
    (void)take(h->data);
}

int dt_inpipe_new(uv_loop_t *loop, int fd, dt_inpipe_data *on_data, void *ctx,
                  struct dt_inpipe **ret, struct dt_err *err)
{
    DT_AUTO_FD int own = fd;
    struct dt_inpipe *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return dt_err_set(err, DT_E_NOMEM, "pipe");
    int r = uv_poll_init(loop, &p->poll, fd);
    if (r < 0) {
        free(p);
        return dt_err_set(err, DT_E_SYSTEM, "pipe: %s", uv_strerror(r));
    }
    p->poll.data = p;
    p->fd = dt_take_fd(&own);
    p->on_data = on_data;
    p->ctx = ctx;
    (void)uv_poll_start(&p->poll, UV_READABLE, on_readable);
    *ret = p;
    return 0;
}

void dt_inpipe_drain(struct dt_inpipe *p)
{
    int there = 0;
    if (ioctl(p->fd, FIONREAD, &there) < 0)
        there = 0;
    for (ssize_t n = 1; n > 0 && p->fd >= 0; there -= (int)n) { /* on_data may have closed it */
        n = take(p); /* once more at the end, to learn whether it is the end */
        if (there <= 0)
            break;
    }
}

/* --- writing --- */

static void on_out_closed(uv_handle_t *h)
{
    struct dt_outpipe *p = h->data;
    if (--p->handles > 0)
        return;
    dt_buf_done(&p->waiting);
    free(p);
}

static void close_handle(uv_handle_t *h)
{
    if (!uv_is_closing(h))
        uv_close(h, on_out_closed);
}

struct dt_outpipe *dt_outpipe_close(struct dt_outpipe *p)
{
    if (p == NULL)
        return NULL;
    if (p->state != OPEN)
        close_handle((uv_handle_t *)&p->timer);
    close_handle((uv_handle_t *)&p->poll);
    dt_closep(&p->fd);
    dt_closep(&p->last);
    return NULL;
}

int dt_outpipe_new(uv_loop_t *loop, int fd, size_t max, struct dt_outpipe **ret, struct dt_err *err)
{
    DT_AUTO_FD int own = fd;
    struct dt_outpipe *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return dt_err_set(err, DT_E_NOMEM, "pipe");
    int r = uv_poll_init(loop, &p->poll, fd);
    if (r < 0) {
        free(p);
        return dt_err_set(err, DT_E_SYSTEM, "pipe: %s", uv_strerror(r));
    }
    p->poll.data = p;
    p->fd = dt_take_fd(&own);
    p->last = -1;
    p->handles = 1;
    dt_buf_init(&p->waiting, max);
    *ret = p;
    return 0;
}

/* Returns how many the pipe took; all of them when nobody reads it any more. */
static size_t push(const struct dt_outpipe *p, const char *bytes, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t put = write(p->fd, bytes + done, n - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno != EAGAIN)
            return n;
        if (put < 0)
            break;
        done += (size_t)put;
    }
    return done;
}

/* Who opens it for reading when nobody has it open for writing waits for ever; so it stays open
 * until it has a reader, which only looking tells. */
static void on_look(uv_timer_t *t)
{
    struct dt_outpipe *p = t->data;
    struct pollfd look = {.fd = p->last, .events = POLLOUT};
    if (poll(&look, 1, 0) >= 0 && (look.revents & POLLERR) == 0) {
        p->state = OVER;
        dt_closep(&p->last);
        return;
    }
    p->look_ms = p->look_ms < LOOK_MAX_MS ? 2 * p->look_ms : LOOK_MAX_MS;
    (void)uv_timer_start(t, on_look, p->look_ms, 0);
}

static void leave(struct dt_outpipe *p)
{
    p->state = ALONE;
    p->look_ms = LOOK_MS;
    close_handle((uv_handle_t *)&p->poll);
    dt_closep(&p->fd);
    on_look(&p->timer);
}

int dt_outpipe_end(struct dt_outpipe *p, struct dt_err *err)
{
    char path[64];
    if (p->state != OPEN)
        return 0;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", p->fd);
    p->last = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (p->last < 0)
        return dt_err_errno(err, "end of the input");
    p->state = ENDING;
    (void)uv_timer_init(p->poll.loop, &p->timer);
    p->timer.data = p;
    p->handles++;
    if (p->waiting.n == 0)
        leave(p);
    return 0;
}

static void on_writable(uv_poll_t *h, int status, int events)
{
    struct dt_outpipe *p = h->data;
    (void)status;
    (void)events;
    dt_buf_consume(&p->waiting, push(p, p->waiting.p, p->waiting.n));
    if (p->waiting.n > 0)
        return;
    (void)uv_poll_stop(h);
    dt_buf_done(&p->waiting);
    if (p->state == ENDING)
        leave(p);
}

bool dt_outpipe_is_read(const struct dt_outpipe *p)
{
    int there = 0;
    return p->waiting.n == 0 && ioctl(p->fd, FIONREAD, &there) == 0 && there == 0;
}

int dt_outpipe_write(struct dt_outpipe *p, const char *bytes, size_t n, struct dt_err *err)
{
    if (p->state != OPEN)
        return dt_err_set(err, DT_E_BAD_REQUEST, "the input has ended");
    if (n > p->waiting.max - p->waiting.n)
        return dt_err_set(err, DT_E_LIMIT, "%zu bytes wait already to be read", p->waiting.n);
    size_t done = p->waiting.n > 0 ? 0 : push(p, bytes, n);
    if (done == n)
        return 0;
    if (dt_buf_add(&p->waiting, bytes + done, n - done, err) < 0)
        return -1;
    (void)uv_poll_start(&p->poll, UV_WRITABLE, on_writable);
    return 0;
}
