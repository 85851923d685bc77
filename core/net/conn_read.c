/* What a connection receives, and what its owner puts back. */
#include "net/conn_in.h"

#include <stdatomic.h>

enum { READS_PER_EVENT = 4 }; /* so that one fast peer does not starve the others */

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

/* --- reading --- */

static void on_read_eof(struct dt_conn *c)
{
    if (c->tls != NULL && !c->tls_eof) {
        struct dt_err err;
        (void)dt_err_set(&err, DT_E_UNREACHABLE, "the TLS connection to %s was cut", c->host);
        dt_conn_end(c, &err);
        return;
    }
    c->eof = true;
    dt_conn_update_poll(c);
    if (c->events->on_eof != NULL)
        c->events->on_eof(c->ctx);
    if (!c->closing)
        dt_conn_end_if_over(c);
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

/* A flight is small and the socket is empty, so that a short write means that the connection is
 * broken. */
void dt_conn_tls_send_flight(struct dt_conn *c)
{
    char out[4096];
    size_t n;
    while (!c->closing && (n = dt_conn_tls_ops->output(c->tls, out, sizeof(out))) > 0) {
        struct iovec v = {out, n};
        if (dt_conn_send_iov(c, &v, 1, n) != (ssize_t)n && !c->closing)
            dt_conn_fail(c, "TLS handshake", EIO);
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
            dt_conn_end(c, &err);
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
    if (!c->closing && dt_conn_tls_collect(c) == 0)
        dt_conn_flush(c);
    if (!c->closing && c->tls_eof && !c->tls_more && !c->eof)
        on_read_eof(c);
}

static void tls_input(struct dt_conn *c, char *buf, size_t n)
{
    struct dt_err err;
    if (dt_conn_tls_ops->feed(c->tls, buf, n, &err) < 0) {
        dt_conn_end(c, &err);
        return;
    }
    if (c->dial != NULL) {
        int done = dt_conn_tls_ops->handshake(c->tls, &err);
        dt_conn_tls_send_flight(c);
        if (done < 0)
            dt_conn_end(c, &err);
        else if (done > 0)
            dt_conn_opened(c);
        if (done <= 0 || c->closing)
            return;
    }
    tls_deliver(c, buf);
}

void dt_conn_read_some(struct dt_conn *c)
{
    char *buf = read_buf_take();
    if (buf == NULL) {
        dt_conn_fail(c, "read buffer", ENOMEM);
        return;
    }
    if (c->stashed)
        deliver_stash(c);
    for (int i = 0; i < READS_PER_EVENT && !c->closing && !dt_conn_is_held(c) && !c->eof; i++) {
        ssize_t n = recv(c->fd, buf, DT_CONN_READ_SIZE, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EAGAIN)
                dt_conn_fail(c, "the connection broke", errno);
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

void dt_conn_deliver(struct dt_conn *c)
{
    if (c->stashed) {
        deliver_stash(c);
        return;
    }
    char *buf = c->tls_more ? read_buf_take() : NULL;
    if (buf != NULL) {
        tls_deliver(c, buf);
        read_buf_give(buf);
    }
}

/* --- put back --- */

void dt_conn_unread(struct dt_conn *c, const char *p, size_t n)
{
    c->stashed = true;
    if (n == 0)
        return;
    char *grown = malloc(n + c->stash_n);
    if (grown == NULL) {
        dt_conn_fail(c, "unread bytes", ENOMEM);
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
