#include "net_canned.h"

#include <stdio.h>
#include <sys/resource.h>

#include "net/proxy.h"

/* --- the proxy under test: fixture -> upstream --- */

static struct {
    struct dt_http_client *upstream;
    struct dt_proxy_opts opts;
    unsigned started;
    unsigned done;
    unsigned failed;
    unsigned heads;
    bool one_done;
    bool one_started;
    bool whole;
    bool reads_first;
    struct dt_buf seen;
    enum dt_err_code code;
    uint64_t sent;
    uint64_t received;
} px;

static void on_fail(void *ctx, struct dt_http_req *req, const struct dt_err *err)
{
    (void)ctx;
    px.failed++;
    px.code = err->code;
    dt_http_req_reply(req, 502, "text/plain", "failed", 6);
}

static void on_proxy_head(void *ctx, struct dt_http_req *req, int status)
{
    (void)ctx;
    (void)status;
    px.heads++;
    dt_http_req_add_header(req, "X-Proxy", DT_STR("seen"));
}

static void on_proxy_done(void *ctx, uint64_t sent, uint64_t received, bool whole)
{
    (void)ctx;
    px.whole = whole;
    px.done++;
    px.one_done = true;
    px.sent += sent;
    px.received += received;
}

static void on_proxy_data(void *ctx, const char *bytes, size_t n)
{
    (void)ctx;
    assert_int_equal(dt_buf_add(&px.seen, bytes, n, NULL), 0);
}

static void start(struct dt_http_req *req)
{
    px.opts.upstream = px.upstream;
    px.opts.on_fail = on_fail;
    px.opts.on_head = on_proxy_head;
    px.opts.on_done = on_proxy_done;
    dt_proxy_start(req, &px.opts);
}

static void on_body(void *ctx, struct dt_str body, const struct dt_err *err)
{
    assert_null(err);
    px.opts.body = body;
    start(ctx);
}

static void forward(void *ctx, struct dt_http_req *req)
{
    (void)ctx;
    px.started++;
    px.one_started = true;
    if (px.reads_first)
        dt_http_req_collect(req, 4096, on_body, req);
    else
        start(req);
}

static void setup(struct fixture *f, uint16_t upstream_port)
{
    struct dt_addr addr = {.host = "127.0.0.1", .port = upstream_port};
    struct dt_err err;
    assert_int_equal(dt_http_client_new(&f->loop, &addr, 8, &px.upstream, &err), 0);
}

static void reset(void)
{
    memset(&px, 0, sizeof(px));
}

#define H  "Host: h\r\n"
#define OK "HTTP/1.1 200 OK\r\n"

/* --- heads --- */

static void test_heads(void **state)
{
    (void)state;
    static const char send[] =
        "GET /a?b HTTP/1.1\r\nHost: Pub:1\r\nConnection: x-hop, close\r\nX-Hop: 1\r\nX-Keep: 2\r\n"
        "Keep-Alive: 1\r\nTE: trailers\r\nProxy-Authorization: x\r\nUpgrade: websocket\r\n"
        "X-Secret: s\r\nExpect: 100-continue\r\n\r\n";
    static const char answer[] = OK
        "Date: yesterday\r\nContent-Length: 2\r\nX-Keep: 3\r\nX-Hop2: 1\r\nConnection: X-Hop2\r\n"
        "Alt-Svc: x\r\nKeep-Alive: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nhi";
    static const char *const drop[] = {"x-secret", NULL};
    static const char *const drop_reply[] = {"alt-svc", "x-none", NULL};
    static const struct dt_http_header add[] = {{{"X-Added", 7}, {"yes", 3}}};
    struct fixture f;
    struct canned s = {0};
    struct raw r = {0};
    reset();
    px.opts.drop = drop;
    px.opts.drop_reply = drop_reply;
    px.opts.add = add;
    px.opts.nadd = 1;
    fixture_init(&f, NULL, forward);
    canned_start(&s, &f.loop, answer, strlen(answer));
    setup(&f, s.port);
    raw_start(&r, &f, send, strlen(send));
    fixture_until(&f, &r.closed);
    assert_string_equal(s.in.p,
                        "GET /a?b HTTP/1.1\r\nHost: Pub:1\r\nX-Keep: 2\r\nX-Added: yes\r\n\r\n");
    assert_string_equal(r.in.p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n"
                                "Date: yesterday\r\nX-Keep: 3\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
                                "X-Proxy: seen\r\n\r\nhi");
    assert_int_equal(px.done, 1);
    assert_int_equal(px.received, 2);
    dt_buf_done(&r.in);
    (void)dt_http_client_free(px.upstream);
    canned_done(&s);
    fixture_done(&f);
}

static void test_target_and_host(void **state)
{
    (void)state;
    static const char send[] = "GET /a HTTP/1.1\r\n" H "Connection: close\r\n\r\n";
    static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";
    struct fixture f;
    struct canned s = {0};
    struct raw r = {0};
    reset();
    px.opts.target = DT_STR("/other?x");
    px.opts.host = "inner";
    fixture_init(&f, NULL, forward);
    canned_start(&s, &f.loop, answer, strlen(answer));
    setup(&f, s.port);
    raw_start(&r, &f, send, strlen(send));
    fixture_until(&f, &r.closed);
    assert_string_equal(s.in.p, "GET /other?x HTTP/1.1\r\nHost: inner\r\n\r\n");
    assert_true(raw_has(&r, "HTTP/1.1 204 No Content\r\n"));
    dt_buf_done(&r.in);
    (void)dt_http_client_free(px.upstream);
    canned_done(&s);
    fixture_done(&f);
}

/* Its body was read before it was known that it goes on, and the answer is looked at. */
static void test_body_read_before(void **state)
{
    (void)state;
    static const char *const sends[] = {
        "POST / HTTP/1.1\r\n" H "Connection: close\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\n" H
        "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    };
    static const char answer[] = OK "Content-Length: 5\r\n\r\nhello";
    for (size_t i = 0; i < 4; i++) {
        struct fixture f;
        struct canned s = {.slow = i >= 2};
        struct raw r = {.slow = i >= 2};
        reset();
        px.reads_first = true;
        px.opts.on_data = on_proxy_data;
        dt_buf_init(&px.seen, 64);
        fixture_init(&f, NULL, forward);
        canned_start(&s, &f.loop, answer, strlen(answer));
        setup(&f, s.port);
        raw_start(&r, &f, sends[i % 2], strlen(sends[i % 2]));
        fixture_until(&f, &r.closed);
        fixture_until(&f, &px.one_done);
        assert_string_equal(s.in.p, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
        assert_true(raw_has(&r, "\r\n\r\nhello"));
        assert_string_equal(px.seen.p, "hello");
        assert_true(px.whole);
        dt_buf_done(&px.seen);
        dt_buf_done(&r.in);
        (void)dt_http_client_free(px.upstream);
        canned_done(&s);
        fixture_done(&f);
    }
}

/* --- answers, good and bad --- */

static const struct {
    const char *send; /* behind the request line */
    const char *answer;
    const char *want;
    const char *want_slow; /* when it differs */
    unsigned failed;
    bool end;
} cases[] = {
    {"\r\n", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "2\r\nhi\r\n0\r\n\r\n",
     "1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", 0, false},
    {"\r\n", OK "\r\nuntil the end", "until the end\r\n0\r\n\r\n", "1\r\nn\r\n1\r\nd\r\n0\r\n\r\n",
     0, true},
    {"Content-Length: 3\r\n\r\nabc", OK "Content-Length: 2\r\n\r\nhi", "\r\n\r\nhi", NULL, 0,
     false},
    {"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", OK "Content-Length: 2\r\n\r\nhi",
     "\r\n\r\nhi", NULL, 0, false},
    {"\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 304 ", NULL, 0,
     false},
    {"\r\n", "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 2\r\n\r\nhi", "\r\n\r\nhi", NULL,
     0, false},
    {"\r\n", "", "HTTP/1.1 502 Bad Gateway\r\n", NULL, 1, true},
    {"\r\n", "garbage\r\n\r\n", "HTTP/1.1 502 Bad Gateway\r\n", NULL, 1, false},
    {"\r\n", OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", "HTTP/1.1 502 ", NULL, 1,
     false},
    {"\r\n", OK "X: a\r\n X-Injected: b\r\n\r\n", "HTTP/1.1 502 ", NULL, 1, true},
    {"\r\n", OK "Content-Length: 9\r\n\r\ncut", "\r\n\r\ncut", NULL, 0, true},
    {"\r\n", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
     "HTTP/1.1 502 ", NULL, 1, false},
    {"Connection: upgrade\r\nUpgrade: x\r\n\r\n",
     "HTTP/1.1 403 Forbidden\r\nContent-Length: 1\r\n\r\nn", "HTTP/1.1 403 Forbidden\r\n", NULL, 0,
     false},
};

static void run_case(size_t i, bool slow)
{
    struct fixture f;
    struct canned s = {.slow = slow, .end = cases[i].end};
    struct raw r = {.slow = slow};
    const char *want = slow && cases[i].want_slow != NULL ? cases[i].want_slow : cases[i].want;
    char send[256];
    (void)snprintf(send, sizeof(send), "POST / HTTP/1.1\r\n" H "%s%s",
                   strstr(cases[i].send, "Upgrade") == NULL ? "Connection: close\r\n" : "",
                   cases[i].send);
    reset();
    fixture_init(&f, NULL, forward);
    canned_start(&s, &f.loop, cases[i].answer, strlen(cases[i].answer));
    setup(&f, s.port);
    raw_start(&r, &f, send, strlen(send));
    fixture_until(&f, &px.one_done);
    while (!r.closed && !raw_has(&r, want) && !f.late)
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    if (!raw_has(&r, want))
        fail_msg("case %zu: no '%s' in '%s'", i, want, r.in.p != NULL ? r.in.p : "");
    assert_false(raw_has(&r, "Injected"));
    assert_int_equal(px.failed, cases[i].failed);
    assert_int_equal(px.done, 1);
    assert_int_equal(px.whole, cases[i].failed == 0 && strstr(cases[i].answer, "cut") == NULL);
    if (!r.closed)
        dt_conn_close(r.conn);
    fixture_until(&f, &r.closed);
    dt_buf_done(&r.in);
    (void)dt_http_client_free(px.upstream);
    canned_done(&s);
    fixture_done(&f);
}

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        run_case(i, false);
}

static void test_answers_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        run_case(i, true);
}

static void test_unreachable(void **state)
{
    (void)state;
    static const char send[] = "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n";
    struct fixture f;
    struct raw r = {0};
    reset();
    fixture_init(&f, NULL, forward);
    setup(&f, 1);
    raw_start(&r, &f, send, strlen(send));
    fixture_until(&f, &r.closed);
    assert_int_equal(px.failed, 1);
    assert_int_equal(px.code, DT_E_UNREACHABLE);
    assert_int_equal(px.done, 1);
    dt_buf_done(&r.in);
    (void)dt_http_client_free(px.upstream);
    fixture_done(&f);
}

static void test_client_leaves(void **state)
{
    (void)state;
    static const char send[] = "GET / HTTP/1.1\r\n" H "\r\n";
    struct fixture f;
    struct canned s = {0};
    struct raw r = {0};
    reset();
    fixture_init(&f, NULL, forward);
    canned_start(&s, &f.loop, "", 0); /* never answers */
    setup(&f, s.port);
    raw_start(&r, &f, send, strlen(send));
    fixture_until(&f, &s.answered);
    dt_conn_close(r.conn);
    fixture_until(&f, &s.closed); /* the upstream hears of it */
    fixture_until(&f, &px.one_done);
    assert_int_equal(px.failed, 0);
    assert_false(px.whole);
    dt_buf_done(&r.in);
    (void)dt_http_client_free(px.upstream);
    canned_done(&s);
    fixture_done(&f);
}

/* --- tunnels --- */

static void test_tunnel(void **state)
{
    (void)state;
    static const char send[] =
        "GET /ws HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: k\r\n\r\nfrom client";
    static const char answer[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: a\r\n\r\nfrom upstream";
    for (int slow = 0; slow <= 1; slow++) {
        struct fixture f;
        struct canned s = {.slow = slow, .end = true};
        struct raw r = {.slow = slow, .half_close = true};
        reset();
        fixture_init(&f, NULL, forward);
        canned_start(&s, &f.loop, answer, strlen(answer));
        setup(&f, s.port);
        raw_start(&r, &f, send, strlen(send));
        fixture_until(&f, &px.one_done);
        fixture_until(&f, &r.closed);
        assert_true(raw_has(&r, "HTTP/1.1 101 Switching Protocols\r\n"));
        assert_true(raw_has(&r, "\r\nConnection: Upgrade\r\n"));
        assert_true(raw_has(&r, "\r\nUpgrade: websocket\r\n"));
        assert_true(raw_has(&r, "\r\nSec-WebSocket-Accept: a\r\n"));
        assert_true(raw_has(&r, "\r\n\r\nfrom upstream"));
        assert_non_null(strstr(s.in.p, "Connection: Upgrade\r\n\r\nfrom client"));
        assert_true(s.eof); /* the half-close went through */
        assert_int_equal(px.sent, strlen("from client"));
        assert_int_equal(px.received, strlen("from upstream"));
        dt_buf_done(&r.in);
        (void)dt_http_client_free(px.upstream);
        canned_done(&s);
        fixture_done(&f);
    }
}

/* The upstream goes: before an answer, in the middle of one, and with a tunnel open. */
static void test_group_cancel(void **state)
{
    (void)state;
    static const struct {
        const char *send, *answer, *want;
        enum dt_err_code code;
    } rows[] = {
        {"GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", "", "HTTP/1.1 502 ", DT_E_CANCELLED},
        {"GET / HTTP/1.1\r\n" H "\r\n", OK "Content-Length: 9\r\n\r\nhalf", "\r\n\r\nhalf", DT_OK},
        {"GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: x\r\n\r\n",
         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhello",
         "\r\n\r\nhello", DT_OK},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_proxy_group group = {NULL};
        struct fixture f;
        struct canned s = {0};
        struct raw r = {0};
        reset();
        px.opts.group = &group;
        fixture_init(&f, NULL, forward);
        canned_start(&s, &f.loop, rows[i].answer, strlen(rows[i].answer));
        setup(&f, s.port);
        raw_start(&r, &f, rows[i].send, strlen(rows[i].send));
        fixture_until(&f, &s.answered);
        while (!f.late && rows[i].code == DT_OK && !raw_has(&r, rows[i].want))
            (void)uv_run(&f.loop, UV_RUN_ONCE);
        assert_non_null(group.first);
        dt_proxy_group_cancel(&group);
        assert_null(group.first);
        assert_false(px.one_done);
        fixture_until(&f, &px.one_done);
        fixture_until(&f, &s.closed);
        fixture_until(&f, &r.closed);
        assert_true(raw_has(&r, rows[i].want));
        assert_int_equal(px.code, rows[i].code);
        dt_buf_done(&r.in);
        (void)dt_http_client_free(px.upstream);
        canned_done(&s);
        fixture_done(&f);
    }
}

static void test_h2c_is_no_tunnel(void **state)
{
    (void)state;
    static const char send[] = "GET / HTTP/1.1\r\n" H "Connection: Upgrade, HTTP2-Settings\r\n"
                               "Upgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n";
    static const char answer[] = OK "Content-Length: 2\r\n\r\nhi";
    struct fixture f;
    struct canned s = {0};
    struct raw r = {.half_close = true};
    reset();
    fixture_init(&f, NULL, forward);
    canned_start(&s, &f.loop, answer, strlen(answer));
    setup(&f, s.port);
    raw_start(&r, &f, send, strlen(send));
    fixture_until(&f, &r.closed);
    assert_string_equal(s.in.p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(raw_has(&r, "\r\n\r\nhi"));
    dt_buf_done(&r.in);
    (void)dt_http_client_free(px.upstream);
    canned_done(&s);
    fixture_done(&f);
}

/* --- large bodies --- */

enum { BIG = 1024 * 1024 * 1024, SMALL = 32 * 1024 * 1024 };

static struct {
    struct dt_http_server *server;
    uint64_t left;
    uint64_t got;
    bool held;
    struct dt_http_req *req;
} origin;

static void origin_write(void *ctx)
{
    static const char bytes[65536];
    while (origin.left > 0) {
        size_t n = origin.left < sizeof(bytes) ? origin.left : sizeof(bytes);
        origin.left -= n;
        if (!dt_http_req_write(ctx, bytes, n))
            return;
    }
    dt_http_req_end(ctx);
}

static void origin_data(void *ctx, const char *p, size_t n)
{
    (void)p;
    origin.got += n;
    if (!origin.held && origin.got > 1 << 20) {
        origin.held = true;
        dt_http_req_pause(ctx);
    }
}

static void origin_end(void *ctx)
{
    dt_http_req_reply(ctx, 200, NULL, "thanks", 6);
}

static void origin_handler(void *ctx, struct dt_http_req *r)
{
    (void)ctx;
    origin.req = r;
    if (dt_str_eq(dt_http_req_method(r), DT_STR("POST"))) {
        dt_http_req_stream(r, origin_data, origin_end, r);
        return;
    }
    dt_http_req_on_drain(r, origin_write, r);
    dt_http_req_begin(r, 200, origin.left);
    origin_write(r);
}

static void origin_start(struct fixture *f)
{
    struct dt_err err;
    uint16_t port;
    assert_int_equal(dt_http_server_new(&f->loop, NULL, origin_handler, NULL, &origin.server, &err),
                     0);
    assert_int_equal(dt_http_server_listen_tcp(origin.server, "127.0.0.1", 0, &port, &err), 0);
    setup(f, port);
}

struct sink {
    struct dt_conn *conn;
    const char *send;
    uint64_t got;
    bool some;
    bool closed;
};

static void sink_open(void *ctx)
{
    struct sink *s = ctx;
    (void)dt_conn_write(s->conn, s->send, strlen(s->send));
}

static void sink_data(void *ctx, const char *p, size_t n)
{
    struct sink *s = ctx;
    (void)p;
    s->got += n;
    s->some = true;
}

static void sink_eof(void *ctx)
{
    dt_conn_close(((struct sink *)ctx)->conn);
}

static void sink_close(void *ctx, const struct dt_err *err)
{
    assert_null(err);
    ((struct sink *)ctx)->closed = true;
}

static long peak_kib(void)
{
    struct rusage u;
    assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
    return u.ru_maxrss;
}

/* The client does not read: the origin must be held back. Then everything flows, in bounded memory.
 */
static void test_down(void **state)
{
    (void)state;
    static const struct dt_conn_events events = {sink_open, sink_data, sink_eof, NULL, sink_close};
    struct fixture f;
    struct sink s = {.send = "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n"};
    struct dt_err err;
    reset();
    memset(&origin, 0, sizeof(origin));
    origin.left = BIG;
    fixture_init(&f, NULL, forward);
    origin_start(&f);
    struct dt_addr addr = {.host = "127.0.0.1", .port = f.port};
    assert_int_equal(dt_conn_connect(&f.loop, &addr, 60000, &events, &s, &s.conn, &err), 0);
    dt_conn_pause(s.conn);
    fixture_until(&f, &px.one_started);
    uint64_t before = 0;
    for (int same = 0; same < 100; same++) { /* until nothing moves any more */
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
        if (origin.left != before)
            same = 0;
        before = origin.left;
    }
    assert_true(BIG - origin.left < 64u << 20);
    long peak = peak_kib();
    dt_conn_resume(s.conn);
    f.late = false;
    (void)uv_timer_start(&f.deadline, fixture_on_deadline, 300000, 0);
    fixture_until(&f, &s.closed);
    assert_true(s.got > BIG);
    assert_int_equal(px.received, BIG);
#ifndef __SANITIZE_ADDRESS__ /* its quarantine keeps what was freed */
    assert_true(peak_kib() - peak < 2048);
#else
    (void)peak;
#endif
    (void)dt_http_client_free(px.upstream);
    dt_http_server_stop(origin.server, 0, NULL, NULL);
    fixture_done(&f);
}

/* The origin does not read: the client must be held back. */
static void test_up(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf b;
    struct dt_err err;
    struct fixture f;
    struct raw r = {0};
    dt_buf_init(&b, SMALL + 1024);
    assert_int_equal(dt_buf_addf(&b, &err,
                                 "POST / HTTP/1.1\r\n" H "Connection: close\r\n"
                                 "Content-Length: %d\r\n\r\n",
                                 SMALL),
                     0);
    assert_int_equal(dt_buf_reserve(&b, SMALL, &err), 0);
    memset(b.p + b.n, 'x', SMALL);
    b.n += SMALL;
    reset();
    memset(&origin, 0, sizeof(origin));
    fixture_init(&f, NULL, forward);
    origin_start(&f);
    raw_start(&r, &f, b.p, b.n);
    fixture_until(&f, &origin.held);
    uint64_t before = 0;
    for (int same = 0; same < 100; same++) {
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
        if (dt_conn_queued(r.conn) != before)
            same = 0;
        before = dt_conn_queued(r.conn);
    }
    assert_true(before > SMALL / 4);
    assert_true(origin.got < 2 << 20);
    dt_http_req_resume(origin.req);
    fixture_until(&f, &r.closed);
    assert_int_equal(origin.got, SMALL);
    assert_true(raw_has(&r, "thanks"));
    assert_int_equal(px.sent, SMALL);
    dt_buf_done(&r.in);
    (void)dt_http_client_free(px.upstream);
    dt_http_server_stop(origin.server, 0, NULL, NULL);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),        cmocka_unit_test(test_target_and_host),
        cmocka_unit_test(test_answers),      cmocka_unit_test(test_answers_byte_by_byte),
        cmocka_unit_test(test_unreachable),  cmocka_unit_test(test_client_leaves),
        cmocka_unit_test(test_tunnel),       cmocka_unit_test(test_h2c_is_no_tunnel),
        cmocka_unit_test(test_group_cancel), cmocka_unit_test(test_down),
        cmocka_unit_test(test_up),           cmocka_unit_test(test_body_read_before),
    };
    return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
