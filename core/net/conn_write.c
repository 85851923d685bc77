/* What a connection sends: its queue, TLS, files. */
#include "net/conn_in.h"

#include <sys/sendfile.h>

enum { IOV_MAX_HERE = 8 };

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
            dt_conn_fail(c, "queue of a connection", ENOMEM);
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
        dt_conn_fail(c, "the connection broke while sending", error);
        return;
    }
    c->write_dead = true;
    c->blocked = false;
    q_drop(c, c->q_n);
    dt_conn_update_poll(c);
}

ssize_t dt_conn_send_iov(struct dt_conn *c, struct iovec *iov, int cnt, size_t total)
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
        dt_conn_ask_turn(c);
}

void dt_conn_flush(struct dt_conn *c)
{
    if (c->q_n > 0 && c->open) {
        struct iovec v = {c->q + c->q_off, c->q_n};
        ssize_t n = dt_conn_send_iov(c, &v, 1, c->q_n);
        if (n < 0)
            return;
        q_drop(c, (size_t)n);
    } else {
        c->blocked = false;
    }
    shut_if_due(c);
    dt_conn_update_poll(c);
}

void dt_conn_tell_drain(struct dt_conn *c)
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

int dt_conn_tls_collect(struct dt_conn *c)
{
    char out[4096];
    size_t n;
    while ((n = dt_conn_tls_ops->output(c->tls, out, sizeof(out))) > 0) {
        if (q_add(c, out, n) < 0)
            return -1;
    }
    return 0;
}

int dt_conn_tls_encrypt(struct dt_conn *c, const struct iovec *iov, int cnt)
{
    struct dt_err err;
    for (int i = 0; i < cnt; i++) {
        if (iov[i].iov_len == 0)
            continue;
        if (dt_conn_tls_ops->write(c->tls, iov[i].iov_base, iov[i].iov_len, &err) < 0) {
            dt_conn_end(c, &err);
            return -1;
        }
    }
    return dt_conn_tls_collect(c);
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
        ssize_t r = dt_conn_send_iov(c, v, n, total);
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
        if (dt_conn_tls_encrypt(c, iov, cnt) < 0 || write_plain(c, NULL, 0, later) < 0)
            return true;
    } else if (write_plain(c, iov, cnt, later) < 0) {
        return true;
    }
    if (c->q_n > 0 && c->open && !c->blocked)
        dt_conn_ask_turn(c);
    if (c->blocked)
        dt_conn_update_poll(c);
    if (c->q_n > DT_CONN_HIGH_MARK)
        c->full = true;
    else if ((c->full && c->q_n <= DT_CONN_LOW_MARK) || (c->want_empty && c->q_n == 0))
        dt_conn_ask_turn(c); /* on_drain is due, but not from in here */
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
    dt_conn_update_poll(c);
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
        if (dt_conn_tls_collect(c) < 0)
            return;
    }
    if (c->q_n > 0 && c->open && !c->blocked) {
        dt_conn_flush(c);
        dt_conn_ask_turn(c); /* on_drain may be due */
    } else {
        shut_if_due(c);
    }
}
