#include "net/conn_in.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

const struct dt_tls_ops *dt_conn_tls_ops;

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

void dt_conn_end(struct dt_conn *c, const struct dt_err *err)
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

void dt_conn_fail(struct dt_conn *c, const char *what, int error)
{
    struct dt_err err;
    errno = error;
    (void)dt_err_errno(&err, "%s", what);
    err.code = error == ENOMEM ? DT_E_NOMEM : DT_E_UNREACHABLE;
    dt_conn_end(c, &err);
}

void dt_conn_end_if_over(struct dt_conn *c)
{
    if (c->eof && (c->shut || c->write_dead))
        dt_conn_end(c, NULL);
}

void dt_conn_close(struct dt_conn *c)
{
    dt_conn_end(c, NULL);
}

/* --- turns --- */

static void on_turn(uv_idle_t *h)
{
    struct dt_conn *c = h->data;
    (void)uv_idle_stop(h);
    if (c->q_n > 0 && !c->blocked && !c->closing)
        dt_conn_flush(c);
    dt_conn_tell_drain(c);
    if (c->turn_asked && !c->closing) {
        c->turn_asked = false;
        if (c->on_turn != NULL)
            c->on_turn(c->ctx);
    }
    if (c->closing || !c->open)
        return;
    if (!c->paused)
        dt_conn_deliver(c);
    if (!c->closing)
        dt_conn_end_if_over(c);
}

void dt_conn_ask_turn(struct dt_conn *c)
{
    if (!c->closing)
        (void)uv_idle_start(&c->turn, on_turn);
}

void dt_conn_turn(struct dt_conn *c)
{
    c->turn_asked = true;
    dt_conn_ask_turn(c);
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
        dt_conn_fail(c, "the peer closed the connection", ECONNRESET);
}

/* Reset or refused: reading tells which, after what the peer still sent. */
static void on_poll_error(struct dt_conn *c)
{
    c->armed = 0;
    if (!dt_conn_is_held(c) && !c->eof)
        dt_conn_read_some(c);
    if (c->closing)
        return;
    if (c->read_on && !c->eof) { /* reading brings the rest, then the error */
        c->rdhup = true;
        c->blocked = false;
        dt_conn_update_poll(c);
        return;
    }
    int error = 0;
    socklen_t len = sizeof(error);
    (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    dt_conn_fail(c, "the connection broke", error != 0 ? error : ECONNRESET);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct dt_conn *c = h->data;
    if (status < 0) {
        on_poll_error(c);
        return;
    }
    if (events & UV_WRITABLE) {
        dt_conn_flush(c);
        dt_conn_tell_drain(c);
    }
    if (c->closing)
        return;
    if ((events & UV_READABLE) && !dt_conn_is_held(c) && !c->eof)
        dt_conn_read_some(c);
    else if (events & UV_DISCONNECT)
        on_hangup(c);
    if (!c->closing)
        dt_conn_update_poll(c);
}

/* Pausing disarms only when an event comes anyway: turning it off and on costs four system calls.
 */
void dt_conn_update_poll(struct dt_conn *c)
{
    if (c->closing || c->fd < 0)
        return;
    int want = 0;
    if (!c->eof)
        want |= dt_conn_is_held(c) ? (c->rdhup ? 0 : UV_DISCONNECT) : UV_READABLE;
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
        dt_conn_ask_turn(c);
    dt_conn_update_poll(c);
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

void dt_conn_opened(struct dt_conn *c)
{
    c->dial = dt_dial_free(c->dial);
    c->open = true;
    if (c->tls != NULL && c->q_n > 0) {
        char *plain = c->q;
        struct iovec v = {plain + c->q_off, c->q_n};
        c->q = NULL;
        c->q_off = c->q_n = c->q_cap = 0;
        int r = dt_conn_tls_encrypt(c, &v, 1);
        free(plain);
        if (r < 0)
            return;
    }
    if (c->shut_asked && c->tls != NULL) {
        dt_conn_tls_ops->shutdown(c->tls);
        if (dt_conn_tls_collect(c) < 0)
            return;
    }
    if (c->events->on_open != NULL)
        c->events->on_open(c->ctx);
    if (c->closing)
        return;
    dt_conn_flush(c);
    dt_conn_tell_drain(c);
}

static void on_late(void *ctx, const struct dt_err *err)
{
    dt_conn_end(ctx, err);
}

static void tls_begin(struct dt_conn *c)
{
    struct dt_err err;
    c->tls = dt_conn_tls_ops->start(c->host, &err);
    if (c->tls == NULL || dt_conn_tls_ops->handshake(c->tls, &err) < 0) {
        dt_conn_end(c, &err);
        return;
    }
    dt_conn_tls_send_flight(c);
    dt_conn_update_poll(c);
}

static void on_dialed(void *ctx, int fd, const struct dt_err *err)
{
    struct dt_conn *c = ctx;
    if (fd < 0) {
        dt_conn_end(c, err);
        return;
    }
    if (conn_set_fd(c, fd) < 0) {
        int error = errno;
        (void)close(fd);
        dt_conn_fail(c, "watch a socket", error);
        return;
    }
    c->active_ms = uv_now(c->turn.loop);
    if (c->host != NULL)
        tls_begin(c);
    else
        dt_conn_opened(c);
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
