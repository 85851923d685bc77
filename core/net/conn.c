#include "net/conn_impl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/sendfile.h>

enum {
    READS_PER_EVENT = 4, /* so that one fast peer does not starve the others */
    IOV_MAX_HERE = 8,
};

const struct dt_tls_ops *dt_conn_tls_ops;

static void update_poll(struct dt_conn *c);

/* A handshake goes on while the owner pauses. */
static bool is_held(const struct dt_conn *c)
{
    return c->paused && c->open;
}

/* --- the read buffer: one for the process unless several loops read at once --- */

static _Atomic(char *) spare_buf;

static char *read_buf_take(void)
{
    char *p = atomic_exchange(&spare_buf, NULL);
    return p != NULL ? p : malloc(DT_CONN_READ_SIZE);
}

static void read_buf_give(char *p)
{
    free(atomic_exchange(&spare_buf, p));
}

/* --- the end --- */

static void on_handle_closed(uv_handle_t *h)
{
    struct dt_conn *c = h->data;
    if (--c->handles > 0)
        return;
    if (c->events->on_close != NULL)
        c->events->on_close(c->ctx, c->err);
    if (c->tls != NULL)
        dt_conn_tls_ops->free(c->tls);
    free(c->err);
    free(c->host);
    free(c->peer);
    free(c->q);
    free(c->stash);
    free(c);
}

static void conn_end(struct dt_conn *c, const struct dt_err *err)
{
    if (c->closing)
        return;
    c->closing = true;
    if (err != NULL && (c->err = malloc(sizeof(*err))) != NULL)
        *c->err = *err;
    c->dial = dt_dial_free(c->dial);
    uv_close((uv_handle_t *)&c->turn, on_handle_closed);
    if (c->handles > 1)
        uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    c->q_n = 0;
}

static void conn_fail(struct dt_conn *c, const char *what, int error)
{
    struct dt_err err;
    errno = error;
    (void)dt_err_errno(&err, "%s", what);
    err.code = error == ENOMEM ? DT_E_NOMEM : DT_E_UNREACHABLE;
    conn_end(c, &err);
}

static void end_if_over(struct dt_conn *c)
{
    if (c->eof && (c->shut || c->write_dead))
        conn_end(c, NULL);
}

/* --- turns --- */

static void on_turn(uv_idle_t *h);

static void ask_turn(struct dt_conn *c)
{
    if (!c->closing)
        (void)uv_idle_start(&c->turn, on_turn);
}

void dt_conn_turn(struct dt_conn *c)
{
    c->turn_asked = true;
    ask_turn(c);
}

/* --- writing --- */

static int q_add(struct dt_conn *c, const void *p, size_t n)
{
    if (n == 0)
        return 0;
    if (c->q_off > 0 && c->q_off + c->q_n + n > c->q_cap) {
        memmove(c->q, c->q + c->q_off, c->q_n);
        c->q_off = 0;
    }
    if (c->q_n + n > c->q_cap) {
        size_t cap = c->q_cap < 2048 ? 2048 : c->q_cap;
        while (cap < c->q_n + n)
            cap *= 2;
        char *grown = realloc(c->q, cap);
        if (grown == NULL) {
            conn_fail(c, "queue of a connection", ENOMEM);
            return -1;
        }
        c->q = grown;
        c->q_cap = cap;
    }
    memcpy(c->q + c->q_off + c->q_n, p, n);
    c->q_n += n;
    return 0;
}

static void q_drop(struct dt_conn *c, size_t n)
{
    c->q_off += n;
    c->q_n -= n;
    if (c->q_n > 0)
        return;
    c->q_off = 0;
    free(c->q); /* an idle connection keeps no buffer */
    c->q = NULL;
    c->q_cap = 0;
}

static void write_failed(struct dt_conn *c, int error)
{
    if (!c->read_on || c->eof) {
        conn_fail(c, "the connection broke while sending", error);
        return;
    }
    c->write_dead = true;
    c->blocked = false;
    q_drop(c, c->q_n);
    update_poll(c);
}

/* Returns the bytes that the kernel took, 0 when it takes none now, -1 when the write side is dead.
 */
static ssize_t send_iov(struct dt_conn *c, struct iovec *iov, int cnt, size_t total)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)cnt};
    ssize_t n;
    do {
        n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
        write_failed(c, errno);
        return -1;
    }
    if (n > 0)
        c->active_ms = uv_now(c->turn.loop);
    c->blocked = n < (ssize_t)total;
    return n > 0 ? n : 0;
}

static void shut_if_due(struct dt_conn *c)
{
    if (!c->shut_asked || c->shut || c->q_n > 0 || !c->open || c->closing)
        return;
    c->shut = true;
    (void)shutdown(c->fd, SHUT_WR);
    if (c->eof)
        ask_turn(c);
}

static void flush(struct dt_conn *c)
{
    if (c->q_n > 0 && c->open) {
        struct iovec v = {c->q + c->q_off, c->q_n};
        ssize_t n = send_iov(c, &v, 1, c->q_n);
        if (n < 0)
            return;
        q_drop(c, (size_t)n);
    } else {
        c->blocked = false;
    }
    shut_if_due(c);
    update_poll(c);
}

/* Only ever called from the loop. */
static void tell_drain(struct dt_conn *c)
{
    bool low = c->full && c->q_n <= DT_CONN_LOW_MARK;
    bool empty = c->want_empty && c->q_n == 0;
    if (c->closing || (!low && !empty))
        return;
    if (low)
        c->full = false;
    if (empty)
        c->want_empty = false;
    if (c->events->on_drain != NULL)
        c->events->on_drain(c->ctx);
}

/* Moves what TLS wants to send into the queue. */
static int tls_collect(struct dt_conn *c)
{
    char out[4096];
    size_t n;
    while ((n = dt_conn_tls_ops->output(c->tls, out, sizeof(out))) > 0) {
        if (q_add(c, out, n) < 0)
            return -1;
    }
    return 0;
}

static int tls_encrypt(struct dt_conn *c, const struct iovec *iov, int cnt)
{
    struct dt_err err;
    for (int i = 0; i < cnt; i++) {
        if (iov[i].iov_len == 0)
            continue;
        if (dt_conn_tls_ops->write(c->tls, iov[i].iov_base, iov[i].iov_len, &err) < 0) {
            conn_end(c, &err);
            return -1;
        }
    }
    return tls_collect(c);
}

/* Sends the queue and the pieces in one go; queues what the kernel did not take. */
static int write_plain(struct dt_conn *c, const struct iovec *iov, int cnt, bool later)
{
    size_t sent = 0;
    if (!later && !c->blocked && c->open) {
        struct iovec v[IOV_MAX_HERE + 1];
        size_t total = c->q_n;
        int n = 0;
        if (c->q_n > 0)
            v[n++] = (struct iovec){c->q + c->q_off, c->q_n};
        for (int i = 0; i < cnt; i++) {
            v[n++] = iov[i];
            total += iov[i].iov_len;
        }
        ssize_t r = send_iov(c, v, n, total);
        if (r < 0)
            return -1;
        sent = (size_t)r;
        size_t of_queue = sent < c->q_n ? sent : c->q_n;
        q_drop(c, of_queue);
        sent -= of_queue;
    }
    for (int i = 0; i < cnt; i++) {
        size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;
        sent -= skip;
        if (skip == iov[i].iov_len)
            continue;
        if (q_add(c, (const char *)iov[i].iov_base + skip, iov[i].iov_len - skip) < 0)
            return -1;
    }
    return 0;
}

bool dt_conn_writev(struct dt_conn *c, const struct iovec *iov, int cnt, bool later)
{
    if (c->closing || c->shut_asked || c->write_dead || cnt > IOV_MAX_HERE)
        return true;
    if (c->tls != NULL && c->open) {
        if (tls_encrypt(c, iov, cnt) < 0 || write_plain(c, NULL, 0, later) < 0)
            return true;
    } else if (write_plain(c, iov, cnt, later) < 0) {
        return true;
    }
    if (c->q_n > 0 && c->open && !c->blocked)
        ask_turn(c);
    if (c->blocked)
        update_poll(c);
    if (c->q_n > DT_CONN_HIGH_MARK)
        c->full = true;
    else if ((c->full && c->q_n <= DT_CONN_LOW_MARK) || (c->want_empty && c->q_n == 0))
        ask_turn(c); /* on_drain is due, but not from in here */
    return !c->full;
}

bool dt_conn_write(struct dt_conn *c, const void *p, size_t n)
{
    struct iovec v = {(void *)(uintptr_t)p, n};
    return n == 0 ? !c->full : dt_conn_writev(c, &v, 1, false);
}

/* on_drain shall come once the socket takes bytes again. */
static ssize_t wait_for_room(struct dt_conn *c)
{
    c->blocked = true;
    c->want_empty = true;
    update_poll(c);
    return 0;
}

ssize_t dt_conn_sendfile(struct dt_conn *c, int fd, size_t n)
{
    if (!c->open || c->closing || c->shut_asked || c->write_dead || c->tls != NULL)
        return -1;
    if (c->blocked)
        return wait_for_room(c);
    if (c->q_n > 0)
        return -1;
    ssize_t sent;
    do {
        sent = sendfile(c->fd, fd, NULL, n);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN)
        return wait_for_room(c);
    if (sent <= 0)
        return -1;
    c->active_ms = uv_now(c->turn.loop);
    return sent;
}

size_t dt_conn_queued(const struct dt_conn *c)
{
    return c->q_n;
}

bool dt_conn_want_empty(struct dt_conn *c)
{
    if (c->q_n == 0)
        return false;
    c->want_empty = true;
    return true;
}

void dt_conn_shutdown(struct dt_conn *c)
{
    if (c->closing || c->shut_asked)
        return;
    c->shut_asked = true;
    if (c->tls != NULL && c->open) {
        dt_conn_tls_ops->shutdown(c->tls);
        if (tls_collect(c) < 0)
            return;
    }
    if (c->q_n > 0 && c->open && !c->blocked) {
        flush(c);
        ask_turn(c); /* on_drain may be due */
    } else {
        shut_if_due(c);
    }
}

void dt_conn_close(struct dt_conn *c)
{
    conn_end(c, NULL);
}

/* --- reading --- */

static void on_read_eof(struct dt_conn *c)
{
    if (c->tls != NULL && !c->tls_eof) {
        struct dt_err err;
        (void)dt_err_set(&err, DT_E_UNREACHABLE, "the TLS connection to %s was cut", c->host);
        conn_end(c, &err);
        return;
    }
    c->eof = true;
    update_poll(c);
    if (c->events->on_eof != NULL)
        c->events->on_eof(c->ctx);
    if (!c->closing)
        end_if_over(c);
}

static void deliver_stash(struct dt_conn *c)
{
    char *p = c->stash;
    size_t n = c->stash_n;
    c->stash = NULL;
    c->stash_n = 0;
    c->stashed = false;
    if (c->events->on_data != NULL)
        c->events->on_data(c->ctx, p != NULL ? p : "", n);
    free(p);
}

static void opened(struct dt_conn *c);

/* The handshake's bytes pass by the queue, which holds plain text until then. A flight is small and
 * the socket is empty, so that a short write means that the connection is broken. */
static void tls_send_flight(struct dt_conn *c)
{
    char out[4096];
    size_t n;
    while (!c->closing && (n = dt_conn_tls_ops->output(c->tls, out, sizeof(out))) > 0) {
        struct iovec v = {out, n};
        if (send_iov(c, &v, 1, n) != (ssize_t)n && !c->closing)
            conn_fail(c, "TLS handshake", EIO);
    }
    c->blocked = false;
}

/* Brings plain bytes up until the session has no more or the owner pauses. */
static void tls_deliver(struct dt_conn *c, char *buf)
{
    struct dt_err err;
    c->tls_more = true;
    while (!c->closing && !c->paused) {
        bool eof = false;
        ssize_t n = dt_conn_tls_ops->read(c->tls, buf, DT_CONN_READ_SIZE, &eof, &err);
        if (n < 0) {
            conn_end(c, &err);
            return;
        }
        if (eof)
            c->tls_eof = true;
        if (n == 0) {
            c->tls_more = false;
            break;
        }
        if (c->events->on_data != NULL)
            c->events->on_data(c->ctx, buf, (size_t)n);
    }
    if (!c->closing && tls_collect(c) == 0)
        flush(c);
    if (!c->closing && c->tls_eof && !c->tls_more && !c->eof)
        on_read_eof(c);
}

static void tls_input(struct dt_conn *c, char *buf, size_t n)
{
    struct dt_err err;
    if (dt_conn_tls_ops->feed(c->tls, buf, n, &err) < 0) {
        conn_end(c, &err);
        return;
    }
    if (c->dial != NULL) {
        int done = dt_conn_tls_ops->handshake(c->tls, &err);
        tls_send_flight(c);
        if (done < 0)
            conn_end(c, &err);
        else if (done > 0)
            opened(c);
        if (done <= 0 || c->closing)
            return;
    }
    tls_deliver(c, buf);
}

static void read_some(struct dt_conn *c)
{
    char *buf = read_buf_take();
    if (buf == NULL) {
        conn_fail(c, "read buffer", ENOMEM);
        return;
    }
    if (c->stashed)
        deliver_stash(c);
    for (int i = 0; i < READS_PER_EVENT && !c->closing && !is_held(c) && !c->eof; i++) {
        ssize_t n = recv(c->fd, buf, DT_CONN_READ_SIZE, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EAGAIN)
                conn_fail(c, "the connection broke", errno);
            break;
        }
        if (n == 0) {
            on_read_eof(c);
            break;
        }
        c->active_ms = uv_now(c->turn.loop);
        if (c->tls != NULL)
            tls_input(c, buf, (size_t)n);
        else if (c->events->on_data != NULL)
            c->events->on_data(c->ctx, buf, (size_t)n);
        if (n < DT_CONN_READ_SIZE)
            break;
    }
    read_buf_give(buf);
}

/* --- the poll handle --- */

bool dt_conn_is_gone(const struct dt_conn *c)
{
    if (c->closing)
        return true;
    struct pollfd p = {.fd = c->fd};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

bool dt_conn_is_quiet(const struct dt_conn *c)
{
    char byte;
    if (c->closing || !c->open || c->paused || c->stashed || c->eof || c->tls != NULL)
        return false;
    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* The peer's end seen while reading is paused: only worth telling when nothing can be sent either.
 */
static void on_hangup(struct dt_conn *c)
{
    c->rdhup = true;
    if (dt_conn_is_gone(c) && !c->read_on)
        conn_fail(c, "the peer closed the connection", ECONNRESET);
}

/* Reset or refused: reading tells which, after what the peer still sent. */
static void on_poll_error(struct dt_conn *c)
{
    c->armed = 0;
    if (!is_held(c) && !c->eof)
        read_some(c);
    if (c->closing)
        return;
    if (c->read_on && !c->eof) { /* reading brings the rest, then the error */
        c->rdhup = true;
        c->blocked = false;
        update_poll(c);
        return;
    }
    int error = 0;
    socklen_t len = sizeof(error);
    (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    conn_fail(c, "the connection broke", error != 0 ? error : ECONNRESET);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct dt_conn *c = h->data;
    if (status < 0) {
        on_poll_error(c);
        return;
    }
    if (events & UV_WRITABLE) {
        flush(c);
        tell_drain(c);
    }
    if (c->closing)
        return;
    if ((events & UV_READABLE) && !is_held(c) && !c->eof)
        read_some(c);
    else if (events & UV_DISCONNECT)
        on_hangup(c);
    if (!c->closing)
        update_poll(c);
}

/* Pausing disarms only when an event comes anyway: turning it off and on costs four system calls.
 */
static void update_poll(struct dt_conn *c)
{
    if (c->closing || c->fd < 0)
        return;
    int want = 0;
    if (!c->eof)
        want |= is_held(c) ? (c->rdhup ? 0 : UV_DISCONNECT) : UV_READABLE;
    if (c->blocked)
        want |= UV_WRITABLE;
    if (want == c->armed)
        return;
    c->armed = want;
    if (want == 0)
        (void)uv_poll_stop(&c->poll);
    else
        (void)uv_poll_start(&c->poll, want, on_poll);
}

void dt_conn_pause(struct dt_conn *c)
{
    c->paused = true;
}

void dt_conn_resume(struct dt_conn *c)
{
    c->paused = false;
    if (c->closing || (!c->open && c->dial == NULL))
        return;
    if (c->stashed || c->tls_more)
        ask_turn(c);
    update_poll(c);
}

void dt_conn_unread(struct dt_conn *c, const char *p, size_t n)
{
    c->stashed = true;
    if (n == 0)
        return;
    char *grown = malloc(n + c->stash_n);
    if (grown == NULL) {
        conn_fail(c, "unread bytes", ENOMEM);
        return;
    }
    memcpy(grown, p, n);
    if (c->stash_n > 0)
        memcpy(grown + n, c->stash, c->stash_n);
    free(c->stash);
    c->stash = grown;
    c->stash_n += n;
}

struct dt_str dt_conn_take_unread(struct dt_conn *c)
{
    struct dt_str s = dt_str(c->stash, c->stash_n);
    c->stashed = false;
    c->stash_n = 0; /* the memory goes with the next stash or the connection */
    return s;
}

static void on_turn(uv_idle_t *h)
{
    struct dt_conn *c = h->data;
    (void)uv_idle_stop(h);
    if (c->q_n > 0 && !c->blocked && !c->closing)
        flush(c);
    tell_drain(c);
    if (c->turn_asked && !c->closing) {
        c->turn_asked = false;
        if (c->on_turn != NULL)
            c->on_turn(c->ctx);
    }
    if (c->closing || !c->open)
        return;
    if (c->stashed && !c->paused) {
        deliver_stash(c);
    } else if (c->tls_more && !c->paused) {
        char *buf = read_buf_take();
        if (buf != NULL) {
            tls_deliver(c, buf);
            read_buf_give(buf);
        }
    }
    if (!c->closing)
        end_if_over(c);
}

/* --- making one --- */

static struct dt_conn *conn_alloc(uv_loop_t *loop, const struct dt_conn_events *events, void *ctx)
{
    struct dt_conn *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->fd = -1;
    c->events = events;
    c->ctx = ctx;
    c->active_ms = uv_now(loop);
    (void)uv_idle_init(loop, &c->turn);
    c->turn.data = c;
    c->handles = 1;
    return c;
}

/* Owns fd on success only. */
static int conn_set_fd(struct dt_conn *c, int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* fails on unix sockets */
    int r = uv_poll_init(c->turn.loop, &c->poll, fd);
    if (r < 0) {
        errno = -r;
        return -1;
    }
    c->poll.data = c;
    c->handles = 2;
    c->fd = fd;
    return 0;
}

static void on_failed_adopt(uv_handle_t *h)
{
    free(h->data);
}

int dt_conn_adopt(uv_loop_t *loop, int fd, const struct dt_conn_events *events, void *ctx,
                  struct dt_conn **ret, struct dt_err *err)
{
    DT_AUTO_FD int owned = fd;
    struct dt_conn *c = conn_alloc(loop, events, ctx);
    if (c == NULL)
        return dt_err_set(err, DT_E_NOMEM, "connection");
    if (conn_set_fd(c, fd) < 0) {
        (void)dt_err_errno(err, "watch a socket");
        uv_close((uv_handle_t *)&c->turn, on_failed_adopt);
        return -1;
    }
    (void)dt_take_fd(&owned);
    c->open = true;
    c->paused = true;
    *ret = c;
    return 0;
}

/* Connected, and with TLS the handshake is done. What was written meanwhile goes out. */
static void opened(struct dt_conn *c)
{
    c->dial = dt_dial_free(c->dial);
    c->open = true;
    if (c->tls != NULL && c->q_n > 0) {
        char *plain = c->q;
        struct iovec v = {plain + c->q_off, c->q_n};
        c->q = NULL;
        c->q_off = c->q_n = c->q_cap = 0;
        int r = tls_encrypt(c, &v, 1);
        free(plain);
        if (r < 0)
            return;
    }
    if (c->shut_asked && c->tls != NULL) {
        dt_conn_tls_ops->shutdown(c->tls);
        if (tls_collect(c) < 0)
            return;
    }
    if (c->events->on_open != NULL)
        c->events->on_open(c->ctx);
    if (c->closing)
        return;
    flush(c);
    tell_drain(c);
}

static void on_late(void *ctx, const struct dt_err *err)
{
    conn_end(ctx, err);
}

static void tls_begin(struct dt_conn *c)
{
    struct dt_err err;
    c->tls = dt_conn_tls_ops->start(c->host, &err);
    if (c->tls == NULL || dt_conn_tls_ops->handshake(c->tls, &err) < 0) {
        conn_end(c, &err);
        return;
    }
    tls_send_flight(c);
    update_poll(c);
}

static void on_dialed(void *ctx, int fd, const struct dt_err *err)
{
    struct dt_conn *c = ctx;
    if (fd < 0) {
        conn_end(c, err);
        return;
    }
    if (conn_set_fd(c, fd) < 0) {
        int error = errno;
        (void)close(fd);
        conn_fail(c, "watch a socket", error);
        return;
    }
    c->active_ms = uv_now(c->turn.loop);
    if (c->host != NULL)
        tls_begin(c);
    else
        opened(c);
}

static const struct dt_dial_events dialing = {.done = on_dialed, .late = on_late};

int dt_conn_connect(uv_loop_t *loop, const struct dt_addr *addr, uint64_t timeout_ms,
                    const struct dt_conn_events *events, void *ctx, struct dt_conn **ret,
                    struct dt_err *err)
{
    bool tls = addr->tls && addr->path == NULL;
    if (tls && dt_conn_tls_ops == NULL)
        return dt_err_set(err, DT_E_UNSUPPORTED, "TLS to %s: this program is built without TLS",
                          addr->host);
    struct dt_conn *c = conn_alloc(loop, events, ctx);
    if (c == NULL)
        return dt_err_set(err, DT_E_NOMEM, "connection");
    if (tls && (c->host = strdup(addr->host)) == NULL)
        (void)dt_err_set(err, DT_E_NOMEM, "connection");
    else if (dt_dial_start(loop, addr, timeout_ms, &dialing, c, &c->dial, err) == 0) {
        *ret = c;
        return 0;
    }
    free(c->host);
    uv_close((uv_handle_t *)&c->turn, on_failed_adopt);
    return -1;
}

void dt_conn_set_events(struct dt_conn *c, const struct dt_conn_events *events, void *ctx)
{
    c->events = events;
    c->ctx = ctx;
    c->on_turn = NULL;
    c->turn_asked = false;
    c->want_empty = false;
    c->read_on = false;
    c->full = c->q_n > DT_CONN_HIGH_MARK;
}

/* --- the peer --- */

static bool ask_peer(struct dt_conn *c)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    struct ucred cred;
    socklen_t cred_len = sizeof(cred);
    if (c->fd < 0 || getsockname(c->fd, (struct sockaddr *)&ss, &len) < 0 ||
        ss.ss_family != AF_UNIX || getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) < 0)
        return false;
    c->peer_uid = cred.uid;
    c->peer_gid = cred.gid;
    c->peer_known = true;
    return true;
}

bool dt_conn_peer(const struct dt_conn *c, uid_t *uid, gid_t *gid)
{
    if (!c->peer_known && !ask_peer((struct dt_conn *)(uintptr_t)c))
        return false;
    *uid = c->peer_uid;
    *gid = c->peer_gid;
    return true;
}

const char *dt_conn_peer_text(const struct dt_conn *c)
{
    if (c->peer != NULL)
        return c->peer;
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    if (c->fd < 0 || getpeername(c->fd, (struct sockaddr *)&ss, &len) < 0)
        return "gone";
    if (ss.ss_family == AF_UNIX)
        return "unix";
    char text[INET6_ADDRSTRLEN] = "";
    const void *bytes = ss.ss_family == AF_INET6
                            ? (const void *)&((const struct sockaddr_in6 *)&ss)->sin6_addr
                            : (const void *)&((const struct sockaddr_in *)&ss)->sin_addr;
    if (inet_ntop(ss.ss_family, bytes, text, sizeof(text)) == NULL)
        return "unknown";
    ((struct dt_conn *)(uintptr_t)c)->peer = strdup(text);
    return c->peer != NULL ? c->peer : "unknown";
}
