/* A server that answers every connection with given bytes, for the tests of core/net. */
#ifndef DT_TEST_NET_CANNED_H
#define DT_TEST_NET_CANNED_H

#include <arpa/inet.h>
#include <sys/socket.h>

#include "net_fixture.h"

struct canned {
    uv_poll_t poll;
    uv_idle_t pace;
    int fd;
    uint16_t port;
    const char *answer;
    size_t n;
    size_t at;
    struct dt_conn *conn;
    struct dt_buf in;
    unsigned connections;
    bool slow;       /* one byte per turn of the loop */
    bool end;        /* half-close behind the answer */
    bool close_kept; /* close instead of answering, when it is not the connection's first request */
    bool answered;
    bool eof;
    bool closed;
};

static inline void canned_on_pace(uv_idle_t *h)
{
    struct canned *s = h->data;
    if (s->conn != NULL && s->at < s->n) {
        (void)dt_conn_write(s->conn, s->answer + s->at++, 1);
        return;
    }
    if (s->conn != NULL && s->end)
        dt_conn_shutdown(s->conn);
    (void)uv_idle_stop(h);
}

static inline void canned_on_data(void *ctx, const char *p, size_t n)
{
    struct canned *s = ctx;
    struct dt_err err;
    assert_int_equal(dt_buf_add(&s->in, p, n, &err), 0);
    if (s->answered && s->close_kept) {
        dt_conn_close(s->conn);
        return;
    }
    if (memmem(s->in.p, s->in.n, "\r\n\r\n", 4) == NULL || s->answered)
        return;
    s->answered = true;
    if (s->slow) {
        (void)uv_idle_start(&s->pace, canned_on_pace);
        return;
    }
    (void)dt_conn_write(s->conn, s->answer, s->n);
    if (s->end)
        dt_conn_shutdown(s->conn);
}

static inline void canned_on_eof(void *ctx)
{
    struct canned *s = ctx;
    s->eof = true;
    if (!s->end)
        dt_conn_close(s->conn);
}

static inline void canned_on_close(void *ctx, const struct dt_err *err)
{
    (void)err;
    struct canned *s = ctx;
    s->conn = NULL;
    s->closed = true;
}

static inline void canned_on_connection(uv_poll_t *h, int status, int events)
{
    static const struct dt_conn_events table = {NULL, canned_on_data, canned_on_eof, NULL,
                                                canned_on_close};
    (void)status;
    (void)events;
    struct canned *s = h->data;
    struct dt_err err;
    if (s->conn != NULL)
        return;
    int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    s->connections++;
    s->answered = false;
    s->at = 0;
    assert_int_equal(dt_conn_adopt(h->loop, fd, &table, s, &s->conn, &err), 0);
    dt_conn_resume(s->conn);
}

static inline void canned_start(struct canned *s, uv_loop_t *loop, const char *answer, size_t n)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    s->answer = answer;
    s->n = n;
    dt_buf_init(&s->in, 8 << 20);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(s->fd, 8), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&in, &len), 0);
    s->port = ntohs(in.sin_port);
    assert_int_equal(uv_poll_init(loop, &s->poll, s->fd), 0);
    (void)uv_idle_init(loop, &s->pace);
    s->poll.data = s->pace.data = s;
    (void)uv_poll_start(&s->poll, UV_READABLE, canned_on_connection);
}

/* The loop has to run once more before the memory may go. */
static inline void canned_done(struct canned *s)
{
    if (s->conn != NULL)
        dt_conn_close(s->conn);
    uv_close((uv_handle_t *)&s->poll, NULL);
    uv_close((uv_handle_t *)&s->pace, NULL);
    (void)close(s->fd);
    dt_buf_done(&s->in);
}

#endif
