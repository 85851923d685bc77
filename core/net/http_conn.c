#include "net/http_server_impl.h"

#include <stdio.h>

static void on_data(void *ctx, const char *p, size_t n);
static void on_eof(void *ctx);
static void on_drain(void *ctx);
static void on_close(void *ctx, const struct dt_err *err);
static void on_turn(void *ctx);

static const struct dt_conn_events events = {
    .on_data = on_data,
    .on_eof = on_eof,
    .on_drain = on_drain,
    .on_close = on_close,
};

static bool on_body(void *ctx, const char *p, size_t n);

void dt_http_conn_new(struct dt_http_server *s, int fd)
{
    struct dt_http_conn *hc = calloc(1, sizeof(*hc));
    if (hc == NULL) {
        (void)close(fd);
        return;
    }
    if (dt_conn_adopt(s->loop, fd, &events, hc, &hc->conn, NULL) < 0) {
        free(hc);
        return;
    }
    hc->server = s;
    hc->conn->on_turn = on_turn;
    dt_buf_init(&hc->part, DT_HTTP_HEAD_MAX);
    hc->http1.on_body = on_body;
    hc->http1.ctx = hc;
    hc->next = s->conns;
    if (s->conns != NULL)
        s->conns->prev = hc;
    s->conns = hc;
    if (s->nconns++ == 0)
        uv_ref(
            (uv_handle_t *)&s->timer); /* a connection may have nothing else to keep the loop up */
    dt_http_server_due(s, dt_http_conn_due(hc));
    dt_conn_resume(hc->conn);
}

static void conn_free(struct dt_http_conn *hc)
{
    dt_buf_done(&hc->part);
    free(hc);
}

/* Out of the server's list; the memory stays while on_data runs. */
void dt_http_conn_detach(struct dt_http_conn *hc)
{
    struct dt_http_server *s = hc->server;
    if (hc->next != NULL)
        hc->next->prev = hc->prev;
    if (hc->prev != NULL)
        hc->prev->next = hc->next;
    else
        s->conns = hc->next;
    hc->conn = NULL;
    hc->req = NULL;
    if (!hc->pumping)
        conn_free(hc);
    dt_http_server_conn_gone(s);
}

static void on_close(void *ctx, const struct dt_err *err)
{
    (void)err;
    struct dt_http_conn *hc = ctx;
    struct dt_http_req *r = hc->req;
    if (r != NULL)
        dt_http_req_over(r, false);
    dt_http_conn_detach(hc);
}

/* --- deadlines --- */

bool dt_http_conn_is_idle(const struct dt_http_conn *hc)
{
    return hc->state == DT_HTTP_HEAD && hc->part.n == 0 && hc->conn->q_n == 0;
}

/* Whether the exchange waits for the client to send or to read. */
static bool waits_for_client(const struct dt_http_conn *hc)
{
    const struct dt_http_req *r = hc->req;
    return hc->conn->q_n > 0 || hc->conn->blocked ||
           (r->mode != DT_HTTP_BODY_NONE && !hc->http1.complete && !r->paused);
}

uint64_t dt_http_conn_due(const struct dt_http_conn *hc)
{
    const struct dt_http_server_limits *l = &hc->server->limits;
    if (hc->due_ms != 0)
        return hc->due_ms;
    if (hc->state == DT_HTTP_HEAD || (hc->state == DT_HTTP_EXCHANGE && waits_for_client(hc)))
        return hc->conn->active_ms + l->idle_ms;
    return UINT64_MAX;
}

static void set_due(struct dt_http_conn *hc, uint64_t in_ms)
{
    hc->due_ms = uv_now(hc->server->loop) + in_ms;
    dt_http_server_due(hc->server, hc->due_ms);
}

static void refuse(struct dt_http_conn *hc, int status, const char *why);

/* The client ended its side while the answer is on the way. Whether it still reads shows only when
 * something is sent: so an exchange that sends nothing for a tick is over. */
static void eof_tick(struct dt_http_conn *hc)
{
    if (hc->conn->q_n == 0 && !hc->conn->blocked && hc->conn->active_ms == hc->eof_active_ms) {
        dt_conn_close(hc->conn);
        return;
    }
    hc->eof_active_ms = hc->conn->active_ms;
    set_due(hc, DT_HTTP_EOF_TICK_MS);
}

static void begin_eof_ticks(struct dt_http_conn *hc)
{
    hc->req->close = true;
    hc->eof_active_ms = hc->conn->active_ms;
    set_due(hc, DT_HTTP_EOF_TICK_MS);
}

void dt_http_conn_expire(struct dt_http_conn *hc)
{
    hc->due_ms = 0;
    if (hc->state == DT_HTTP_HEAD && hc->part.n > 0)
        refuse(hc, 408, "the head of the request did not come in time");
    else if (hc->state == DT_HTTP_EXCHANGE && hc->eof)
        eof_tick(hc);
    else
        dt_conn_close(hc->conn);
}

/* --- the end of an exchange --- */

static void linger(struct dt_http_conn *hc)
{
    hc->state = DT_HTTP_LINGER;
    dt_conn_shutdown(hc->conn);
    set_due(hc, DT_HTTP_LINGER_MS);
    dt_conn_resume(hc->conn);
}

/* A request that no handler sees. */
static void refuse(struct dt_http_conn *hc, int status, const char *why)
{
    char text[512];
    size_t len = strlen(why) > 200 ? 200 : strlen(why);
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain\r\n"
                     "Content-Length: %zu\r\nConnection: close\r\n\r\n%.200s\n",
                     status, dt_http_reason(status), dt_http_server_date(hc->server), len + 1, why);
    dt_buf_done(&hc->part);
    (void)dt_conn_write(hc->conn, text, (size_t)n);
    linger(hc);
}

static void next_request(struct dt_http_conn *hc)
{
    hc->state = DT_HTTP_HEAD;
    hc->scan = (struct dt_http1_scan){0};
    hc->due_ms = 0;
    if (hc->server->stopping || (hc->eof && !hc->conn->stashed && hc->now_n == 0)) {
        linger(hc);
        return;
    }
    dt_http_server_due(hc->server, dt_http_conn_due(hc));
    dt_conn_resume(hc->conn);
}

/* Everything of the answer is with the kernel. */
static void exchange_over(struct dt_http_conn *hc)
{
    struct dt_http_req *r = dt_take(hc->req);
    bool close_after = r->close || (r->wait_100 && !hc->http1.complete);
    hc->due_ms = 0;
    hc->drained = 0;
    dt_http_req_over(r, true);
    if (close_after) {
        linger(hc);
    } else if (!hc->http1.complete) {
        hc->state = DT_HTTP_DRAIN;
        set_due(hc, DT_HTTP_DRAIN_MS);
        dt_conn_resume(hc->conn);
    } else {
        next_request(hc);
    }
}

/* Returns whether the exchange ended. */
static bool end_if_sent(struct dt_http_conn *hc)
{
    const struct dt_http_req *r = hc->req;
    if (r == NULL || hc->conn->closing || r->answer != DT_HTTP_ANSWER_ENDED ||
        dt_conn_want_empty(hc->conn))
        return false;
    exchange_over(hc);
    return true;
}

void dt_http_conn_answered(struct dt_http_conn *hc)
{
    if (hc->pumping)
        return; /* the pump looks at it when the handler is back */
    if (!dt_conn_want_empty(hc->conn))
        dt_conn_turn(hc->conn);
    else
        dt_http_server_due(hc->server, dt_http_conn_due(hc));
}

static void on_turn(void *ctx)
{
    (void)end_if_sent(ctx);
}

static void on_drain(void *ctx)
{
    struct dt_http_conn *hc = ctx;
    if (end_if_sent(hc))
        return;
    struct dt_http_req *r = hc->req;
    if (r == NULL || !r->full || hc->conn->full)
        return;
    r->full = false;
    if (r->on_drain != NULL && r->answer == DT_HTTP_ANSWER_BEGUN)
        r->on_drain(r->drain_ctx);
}

/* --- bodies --- */

static void body_refused(struct dt_http_conn *hc, const struct dt_err *err)
{
    struct dt_http_req *r = hc->req;
    r->body_told = true;
    r->close = true;
    if (r->answer == DT_HTTP_ANSWER_NONE)
        dt_http_req_reply(r, dt_err_http(err->code), "text/plain", err->msg, strlen(err->msg));
    else
        dt_conn_close(hc->conn);
    if (r->mode == DT_HTTP_BODY_COLLECT)
        r->on_collect(r->body_ctx, dt_str(NULL, 0), err);
}

static bool on_body(void *ctx, const char *p, size_t n)
{
    struct dt_http_conn *hc = ctx;
    struct dt_http_req *r = hc->req;
    if (hc->state == DT_HTTP_DRAIN) {
        hc->drained += n;
        return true;
    }
    if (r->body_told)
        return true;
    r->wait_100 = false;
    if (r->mode == DT_HTTP_BODY_STREAM) {
        if (r->on_data != NULL)
            r->on_data(r->body_ctx, p, n);
        return hc->req == r && !r->paused;
    }
    struct dt_err err;
    if (dt_buf_add(&r->body, p, n, &err) < 0) {
        if (err.code == DT_E_TOO_LARGE)
            (void)dt_err_set(&err, DT_E_TOO_LARGE, "the request's body is larger than %zu bytes",
                             r->body.max);
        body_refused(hc, &err);
        return false;
    }
    return true;
}

static void tell_body(struct dt_http_conn *hc)
{
    struct dt_http_req *r = hc->req;
    if (r->body_told)
        return;
    r->body_told = true;
    if (r->mode == DT_HTTP_BODY_STREAM) {
        if (r->on_end != NULL)
            r->on_end(r->body_ctx);
    } else {
        r->on_collect(r->body_ctx, dt_buf_str(&r->body), NULL);
    }
}

/* Returns -1 when the connection is of no use any more. */
static int feed_body(struct dt_http_conn *hc)
{
    struct dt_err err;
    ssize_t used = dt_http1_body(&hc->http1, hc->now, hc->now_n, &err);
    if (hc->conn == NULL)
        return -1;
    if (used < 0) {
        hc->now_n = 0;
        if (hc->req == NULL || hc->req->answer != DT_HTTP_ANSWER_NONE) {
            dt_conn_close(hc->conn);
        } else {
            body_refused(hc, &err);
        }
        return -1;
    }
    hc->now += used;
    hc->now_n -= (size_t)used;
    return 0;
}

/* --- heads --- */

static void begin_exchange(struct dt_http_conn *hc, struct dt_http_req *r)
{
    struct dt_http_server *s = hc->server;
    hc->state = DT_HTTP_EXCHANGE;
    hc->due_ms = 0;
    hc->req = r;
    r->close = !r->head.keep_alive || s->stopping;
    r->wait_100 = r->head.expect;
    if (hc->eof)
        begin_eof_ticks(hc);
    s->handler(s->ctx, r);
}

/* A whole head p[0..n), which is copied. */
static void take_head(struct dt_http_conn *hc, const char *p, size_t n)
{
    struct dt_err err;
    struct dt_http_req *r = dt_http_req_alloc(hc, hc->scan.lines, n);
    if (r == NULL) {
        dt_conn_close(hc->conn);
        return;
    }
    char *copy = (char *)&r->headers[hc->scan.lines];
    memcpy(copy, p, n);
    if (dt_http1_request(&hc->http1, copy, n, r->headers, &r->head, &err) < 0) {
        dt_http_req_free(r);
        refuse(hc, err.code == DT_E_TOO_LARGE ? 431 : 400, err.msg);
        return;
    }
    if (r->head.length == 0) { /* lets the parser finish */
        char none = 0;
        (void)dt_http1_body(&hc->http1, &none, 0, NULL);
    }
    begin_exchange(hc, r);
}

static void skip_blank_lines(struct dt_http_conn *hc)
{
    while (hc->now_n > 0 && (hc->now[0] == '\r' || hc->now[0] == '\n')) {
        hc->now++;
        hc->now_n--;
    }
}

/* Returns false when more bytes are needed or none are wanted. */
static bool pump_head(struct dt_http_conn *hc)
{
    struct dt_err err;
    if (hc->part.n == 0)
        skip_blank_lines(hc);
    if (hc->now_n == 0)
        return false;
    bool whole = hc->part.n == 0;
    size_t before = hc->part.n;
    size_t room = DT_HTTP_HEAD_MAX - before;
    size_t give = hc->now_n < room ? hc->now_n : room;
    if (!whole && dt_buf_add(&hc->part, hc->now, give, &err) < 0) {
        dt_conn_close(hc->conn);
        return false;
    }
    const char *p = whole ? hc->now : hc->part.p;
    ssize_t n = dt_http1_scan(&hc->scan, p, whole ? give : hc->part.n, &err);
    if (n < 0) {
        hc->now_n = 0;
        refuse(hc, err.code == DT_E_TOO_LARGE ? 431 : 400, err.msg);
        return true;
    }
    if (n > 0) {
        size_t used = (size_t)n - before;
        hc->now += used;
        hc->now_n -= used;
        take_head(hc, p, (size_t)n);
        if (hc->conn != NULL)
            dt_buf_done(&hc->part);
        return true;
    }
    if (whole && dt_buf_add(&hc->part, hc->now, give, &err) < 0) {
        dt_conn_close(hc->conn);
        return false;
    }
    hc->now_n = 0;
    if (hc->due_ms == 0)
        set_due(hc, hc->server->limits.head_ms);
    return false;
}

static bool pump_exchange(struct dt_http_conn *hc)
{
    struct dt_http_req *r = hc->req;
    if (end_if_sent(hc))
        return true;
    if (r->mode == DT_HTTP_BODY_NONE || r->paused || r->body_told)
        return false;
    if (r->mode == DT_HTTP_BODY_COLLECT && r->head.length != UINT64_MAX &&
        r->head.length > r->body.max) {
        struct dt_err err;
        (void)dt_err_set(&err, DT_E_TOO_LARGE, "the request's body is larger than %zu bytes",
                         r->body.max);
        body_refused(hc, &err);
        return true;
    }
    if (!hc->http1.complete) {
        if (feed_body(hc) < 0)
            return hc->conn != NULL && end_if_sent(hc);
        if (hc->req != r)
            return true;
        if (r->answer == DT_HTTP_ANSWER_ENDED)
            return end_if_sent(hc);
    }
    if (hc->http1.complete && !r->paused) {
        tell_body(hc);
        return true;
    }
    return false;
}

static bool pump_drain(struct dt_http_conn *hc)
{
    if (feed_body(hc) < 0)
        return false;
    if (hc->http1.complete) {
        next_request(hc);
        return true;
    }
    if (hc->drained > DT_HTTP_DRAIN_MAX) {
        linger(hc);
        return true;
    }
    return false;
}

static void on_data(void *ctx, const char *p, size_t n)
{
    struct dt_http_conn *hc = ctx;
    hc->now = p;
    hc->now_n = n;
    hc->pumping = true;
    bool again = true;
    while (again && hc->conn != NULL && !hc->conn->closing) {
        switch (hc->state) {
        case DT_HTTP_HEAD:
            again = pump_head(hc);
            break;
        case DT_HTTP_EXCHANGE:
            again = pump_exchange(hc);
            break;
        case DT_HTTP_DRAIN:
            again = pump_drain(hc);
            break;
        case DT_HTTP_LINGER:
            hc->now_n = 0;
            again = false;
            break;
        }
    }
    hc->pumping = false;
    if (hc->conn == NULL) {
        conn_free(hc);
        return;
    }
    if (hc->state == DT_HTTP_EXCHANGE && !hc->conn->closing) {
        bool body_next = hc->req->mode != DT_HTTP_BODY_NONE && !hc->http1.complete;
        if (hc->now_n > 0 || (body_next && hc->req->paused)) {
            dt_conn_unread(hc->conn, hc->now, hc->now_n);
            dt_conn_pause(hc->conn);
        }
        dt_http_server_due(hc->server, dt_http_conn_due(hc));
    }
    hc->now_n = 0;
}

void dt_http_conn_go_on(struct dt_http_conn *hc)
{
    if (hc->pumping || hc->conn->closing)
        return;
    if (!hc->conn->stashed)
        dt_conn_unread(hc->conn, NULL, 0); /* so that the pump runs even if no byte comes */
    dt_conn_resume(hc->conn);
    dt_http_server_due(hc->server, dt_http_conn_due(hc));
}

static void on_eof(void *ctx)
{
    struct dt_http_conn *hc = ctx;
    hc->eof = true;
    bool body_missing =
        hc->state == DT_HTTP_EXCHANGE && !hc->http1.complete && hc->req->mode != DT_HTTP_BODY_NONE;
    if (hc->state == DT_HTTP_LINGER && hc->conn->q_n > 0)
        return;
    if (hc->state != DT_HTTP_EXCHANGE || body_missing || dt_conn_is_gone(hc->conn))
        dt_conn_close(hc->conn);
    else
        begin_eof_ticks(hc);
}
