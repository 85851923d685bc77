/* A server on a loop of its own and raw peers on the same loop, for the tests of core/net. */
#ifndef DT_TEST_NET_FIXTURE_H
#define DT_TEST_NET_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/http_server.h"

#define TEST_DEADLINE_MS 120000

struct fixture {
    uv_loop_t loop;
    struct dt_http_server *server;
    uint16_t port;
    uv_timer_t deadline;
    bool late;
    bool stopped;
};

static inline void fixture_on_deadline(uv_timer_t *t)
{
    struct fixture *f = t->data;
    f->late = true;
    uv_stop(t->loop);
}

static inline void fixture_init(struct fixture *f, const struct dt_http_server_limits *limits,
                                dt_http_handler *handler)
{
    struct dt_err err;
    *f = (struct fixture){0};
    assert_int_equal(uv_loop_init(&f->loop), 0);
    (void)uv_timer_init(&f->loop, &f->deadline);
    uv_unref((uv_handle_t *)&f->deadline);
    f->deadline.data = f;
    (void)uv_timer_start(&f->deadline, fixture_on_deadline, TEST_DEADLINE_MS, 0);
    assert_int_equal(dt_http_server_new(&f->loop, limits, handler, f, &f->server, &err), 0);
    assert_int_equal(dt_http_server_listen_tcp(f->server, "127.0.0.1", 0, &f->port, &err), 0);
}

/* Runs the loop until `*flag` is true. */
static inline void fixture_until(struct fixture *f, const bool *flag)
{
    while (!*flag && !f->late)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    if (f->late)
        fail_msg("the test's deadline passed");
}

static inline void fixture_on_stop(void *ctx)
{
    ((struct fixture *)ctx)->stopped = true;
}

/* Everything must be closed by now but the server: the loop must come to its end. */
static inline void fixture_done(struct fixture *f)
{
    dt_http_server_stop(f->server, 100, fixture_on_stop, f);
    assert_false(f->stopped);
    fixture_until(f, &f->stopped);
    uv_close((uv_handle_t *)&f->deadline, NULL);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

/* Sends bytes, whole or one per turn of the loop, and keeps what comes until the peer closes. */
struct raw {
    struct dt_conn *conn;
    uv_idle_t pace;
    struct dt_buf in;
    const char *send;
    size_t n;
    size_t at;
    bool slow;
    bool half_close; /* after the last byte */
    bool hold;       /* do not read */
    bool open;
    bool eof;
    bool closed;
    enum dt_err_code code;
};

static inline void raw_on_pace(uv_idle_t *h)
{
    struct raw *r = h->data;
    if (r->at < r->n && !r->closed) {
        (void)dt_conn_write(r->conn, r->send + r->at++, 1);
        return;
    }
    if (r->half_close && !r->closed)
        dt_conn_shutdown(r->conn);
    (void)uv_idle_stop(h);
}

static inline void raw_on_open(void *ctx)
{
    struct raw *r = ctx;
    r->open = true;
    if (r->slow) {
        (void)uv_idle_start(&r->pace, raw_on_pace);
        return;
    }
    (void)dt_conn_write(r->conn, r->send, r->n);
    if (r->half_close)
        dt_conn_shutdown(r->conn);
}

static inline void raw_on_data(void *ctx, const char *p, size_t n)
{
    struct raw *r = ctx;
    struct dt_err err;
    assert_int_equal(dt_buf_add(&r->in, p, n, &err), 0);
}

static inline void raw_on_eof(void *ctx)
{
    struct raw *r = ctx;
    r->eof = true;
    dt_conn_close(r->conn);
}

static inline void raw_on_close(void *ctx, const struct dt_err *err)
{
    struct raw *r = ctx;
    assert_false(r->closed);
    r->closed = true;
    r->conn = NULL;
    r->code = err != NULL ? err->code : DT_OK;
    (void)uv_idle_stop(&r->pace);
    uv_close((uv_handle_t *)&r->pace, NULL);
}

static inline void raw_start(struct raw *r, struct fixture *f, const char *send, size_t n)
{
    static const struct dt_conn_events events = {raw_on_open, raw_on_data, raw_on_eof, NULL,
                                                 raw_on_close};
    struct dt_addr addr = {.host = "127.0.0.1", .port = f->port};
    struct dt_err err;
    dt_buf_init(&r->in, 64u << 20);
    r->send = send;
    r->n = n;
    (void)uv_idle_init(&f->loop, &r->pace);
    r->pace.data = r;
    assert_int_equal(dt_conn_connect(&f->loop, &addr, 60000, &events, r, &r->conn, &err), 0);
    if (r->hold)
        dt_conn_pause(r->conn);
}

static inline bool raw_has(const struct raw *r, const char *text)
{
    return r->in.p != NULL && memmem(r->in.p, r->in.n, text, strlen(text)) != NULL;
}

static inline size_t raw_count(const struct raw *r, const char *text)
{
    size_t n = 0;
    const char *p = r->in.p;
    while (p != NULL &&
           (p = memmem(p, r->in.n - (size_t)(p - r->in.p), text, strlen(text))) != NULL) {
        n++;
        p += strlen(text);
    }
    return n;
}

#endif
