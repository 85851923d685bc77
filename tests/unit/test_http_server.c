#include "net_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* --- the server under test --- */

static struct {
    unsigned requests;
    unsigned done;
    unsigned complete;
    bool gone; /* an exchange ended without its whole answer */
    bool held;
    struct dt_http_req *req; /* of /late, /zombie */
    uint64_t left;           /* of /big */
    unsigned drains;
    unsigned pieces;
    int file; /* of /file */
    char seen[256];
} app;

static void on_done(void *ctx, bool complete)
{
    (void)ctx;
    app.done++;
    app.complete += complete;
    app.gone |= !complete;
    app.req = NULL;
}

static void on_collected(void *ctx, struct dt_str body, const struct dt_err *err)
{
    if (err != NULL) {
        assert_int_equal(err->code,
                         err->code == DT_E_TOO_LARGE ? DT_E_TOO_LARGE : DT_E_BAD_REQUEST);
        return;
    }
    dt_http_req_reply(ctx, 200, "application/octet-stream", body.p, body.n);
}

static void on_piece(void *ctx, const char *p, size_t n)
{
    (void)dt_http_req_write(ctx, p, n);
    dt_http_req_pause(ctx); /* resumed from /slow-echo's timer: every piece waits once */
    app.held = true;
}

static void on_last(void *ctx)
{
    dt_http_req_end(ctx);
}

static void write_more(void *ctx)
{
    static const char bytes[32768];
    struct dt_http_req *r = ctx;
    while (app.left > 0) {
        size_t n = app.left < sizeof(bytes) ? app.left : sizeof(bytes);
        app.left -= n;
        if (!dt_http_req_write(r, bytes, n)) {
            app.drains++;
            return;
        }
    }
    dt_http_req_end(r);
}

enum { FILE_SIZE = 16 << 20 };

/* A file of known bytes; app.left of it are still to be sent. */
static void send_more(void *ctx)
{
    struct dt_http_req *r = ctx;
    while (app.left > 0) {
        char piece[5000];
        ssize_t n = dt_http_req_sendfile(r, app.file, 300000);
        if (n == 0) {
            app.drains++;
            return;
        }
        if (n < 0) { /* the head waits to go with the first bytes */
            app.pieces++;
            n = read(app.file, piece, sizeof(piece));
            assert_true(n > 0);
            (void)dt_http_req_write(r, piece, (size_t)n);
        }
        app.left -= (uint64_t)n;
    }
    dt_http_req_end(r);
}

static void send_whole_file(struct dt_http_req *r)
{
    assert_int_equal(lseek(app.file, 0, SEEK_SET), 0);
    app.left = FILE_SIZE;
    dt_http_req_on_drain(r, send_more, r);
    dt_http_req_begin(r, 200, app.left);
    send_more(r);
}

static void raw_upgrade_data(void *ctx, const char *p, size_t n)
{
    (void)dt_conn_write(*(struct dt_conn **)ctx, p, n);
}

static void raw_upgrade_eof(void *ctx)
{
    dt_conn_shutdown(*(struct dt_conn **)ctx);
}

static void raw_upgrade_close(void *ctx, const struct dt_err *err)
{
    (void)err;
    *(struct dt_conn **)ctx = NULL;
}

static void upgrade(struct dt_http_req *r)
{
    static const struct dt_conn_events events = {
        .on_data = raw_upgrade_data, .on_eof = raw_upgrade_eof, .on_close = raw_upgrade_close};
    static struct dt_conn *taken;
    struct dt_str early;
    dt_http_req_add_header(r, "Upgrade", DT_STR("echo"));
    dt_http_req_begin(r, 101, 0);
    unsigned done = app.done;
    taken = dt_http_req_take_conn(r, &events, &taken, &early);
    assert_int_equal(app.done, done + 1);
    (void)dt_conn_write(taken, early.p, early.n);
}

static void describe(struct dt_http_req *r)
{
    struct dt_str m = dt_http_req_method(r), t = dt_http_req_target(r), p = dt_http_req_path(r);
    struct dt_str q = dt_http_req_query(r), h = dt_http_req_host(r);
    struct dt_str x = dt_http_req_header(r, "x-test");
    (void)snprintf(app.seen, sizeof(app.seen), "%.*s|%.*s|%.*s|%.*s|%.*s|%.*s", (int)m.n, m.p,
                   (int)t.n, t.p, (int)p.n, p.p, (int)q.n, q.p, (int)h.n, h.p, (int)x.n,
                   x.p != NULL ? x.p : "");
    dt_http_req_reply(r, 200, "text/plain", app.seen, strlen(app.seen));
}

static void handler(void *ctx, struct dt_http_req *r)
{
    (void)ctx;
    struct dt_str path = dt_http_req_path(r);
    app.requests++;
    if (!dt_str_eq(path, DT_STR("/zombie")))
        dt_http_req_on_done(r, on_done, NULL);
    if (dt_str_eq(path, DT_STR("/echo"))) {
        dt_http_req_collect(r, 64, on_collected, r);
    } else if (dt_str_eq(path, DT_STR("/slow-echo"))) {
        app.req = r;
        dt_http_req_begin(r, 200, UINT64_MAX);
        dt_http_req_stream(r, on_piece, on_last, r);
    } else if (dt_str_eq(path, DT_STR("/big"))) {
        app.left = 16u << 20;
        dt_http_req_on_drain(r, write_more, r);
        dt_http_req_begin(r, 200, app.left);
        write_more(r);
    } else if (dt_str_eq(path, DT_STR("/file"))) {
        send_whole_file(r);
    } else if (dt_str_eq(path, DT_STR("/late")) || dt_str_eq(path, DT_STR("/zombie"))) {
        app.req = r;
        app.held = true;
    } else if (dt_str_eq(path, DT_STR("/cut"))) {
        dt_http_req_begin(r, 200, 10);
        (void)dt_http_req_write(r, "12345", 5);
        dt_http_req_end(r);
    } else if (dt_str_eq(path, DT_STR("/excess"))) {
        dt_http_req_begin(r, 200, 3);
        (void)dt_http_req_write(r, "12345", 5);
        dt_http_req_end(r);
    } else if (dt_str_eq(path, DT_STR("/empty"))) {
        dt_http_req_reply(r, 204, NULL, NULL, 0);
    } else if (dt_str_eq(path, DT_STR("/headers"))) {
        dt_http_req_add_header(r, "X-Good", DT_STR("yes"));
        dt_http_req_add_header(r, "X-Split", DT_STR("a\r\nX-Injected: 1"));
        dt_http_req_add_header(r, "X Bad", DT_STR("no"));
        dt_http_req_add_header(r, "Content-Length", DT_STR("99"));
        dt_http_req_reply(r, 200, NULL, "ok", 2);
    } else if (dt_str_eq(path, DT_STR("/upgrade"))) {
        upgrade(r);
    } else {
        describe(r);
    }
}

static void app_reset(void)
{
    memset(&app, 0, sizeof(app));
}

/* --- what is understood --- */

#define H "Host: h\r\n"

static const struct {
    const char *send;
    const char *want[3]; /* texts in the answer */
    unsigned answers;
} good[] = {
    {"GET /a?b=c HTTP/1.1\r\nHost: h:1\r\nX-Test:  v \r\n\r\n",
     {"HTTP/1.1 200 OK\r\n", "GET|/a?b=c|/a|b=c|h:1|v"},
     1},
    {"\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", {"GET|/|/||h|"}, 1},
    {"GET / HTTP/1.0\r\n\r\n", {"Connection: close\r\n", "GET|/|/|||"}, 1},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
     {"Connection: keep-alive\r\n", "GET|/2|/2|||"},
     2},
    {"GET http://Other:8/x?y HTTP/1.1\r\n" H "\r\n", {"GET|/x?y|/x|y|Other:8|"}, 1},
    {"GET http://other HTTP/1.1\r\n" H "\r\n", {"GET|/|/||other|"}, 1},
    {"GET http://other?y HTTP/1.1\r\n" H "\r\n", {"GET|/?y|/|y|other|"}, 1},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", {"OPTIONS|*|*||h|"}, 1},
    {"CONNECT a:1 HTTP/1.1\r\n" H "\r\n", {"CONNECT|a:1|a:1||h|"}, 1},
    {"HEAD / HTTP/1.1\r\n" H "\r\n", {"Content-Length: 12\r\n\r\n"}, 1},
    {"GET /1 HTTP/1.1\r\n" H "\r\nGET /2 HTTP/1.1\r\n" H "\r\nGET /3 HTTP/1.1\r\n" H "\r\n",
     {"GET|/1|", "GET|/2|", "GET|/3|"},
     3},
    {"POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\n" H "\r\n",
     {"Content-Length: 5\r\n\r\nhello", "GET|/2|"},
     2},
    {"POST /echo HTTP/1.1\r\n" H
     "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n"
     "T: v\r\n\r\nGET /2 HTTP/1.1\r\n" H "\r\n",
     {"\r\n\r\nabcde", "GET|/2|"},
     2},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\n" H "\r\n",
     {"POST|/|", "GET|/2|"},
     2}, /* nobody asked for the body */
    {"POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
     {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200", "\r\n\r\nab"},
     2},
    {"POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
     {"HTTP/1.1 200 OK", "Connection: close"},
     1},
    {"POST /echo HTTP/1.1\r\n" H "Content-Length: 65\r\n\r\n",
     {"HTTP/1.1 413 ", "larger than 64"},
     1},
    {"GET /empty HTTP/1.1\r\n" H "\r\n", {"HTTP/1.1 204 No Content\r\n"}, 1},
    {"GET /headers HTTP/1.1\r\n" H "\r\n", {"\r\nX-Good: yes\r\n", "Content-Length: 2\r\n"}, 1},
    {"GET /excess HTTP/1.1\r\n" H "\r\n", {"\r\n\r\n123"}, 1},
    {"GET /cut HTTP/1.1\r\n" H "\r\nGET / HTTP/1.1\r\n" H "\r\n", {""}, 1},
    {"GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", {"GET|/|"}, 1},
    {"GET /upgrade HTTP/1.1\r\n" H "Connection: x, Upgrade\r\nUpgrade: echo\r\n\r\nearly\r\n",
     {"HTTP/1.1 101 Switching Protocols\r\n", "Upgrade: echo\r\nConnection: Upgrade",
      "\r\n\r\nearly\r\n"},
     1},
};

static void run_good(size_t i, bool slow)
{
    struct fixture f;
    struct raw r = {.slow = slow, .half_close = true};
    app_reset();
    fixture_init(&f, NULL, handler);
    raw_start(&r, &f, good[i].send, strlen(good[i].send));
    fixture_until(&f, &r.closed);
    for (size_t k = 0; k < 3 && good[i].want[k] != NULL; k++) {
        const char *want = good[i].want[k];
        bool moved = strstr(want, "Upgrade: echo\r\nConn") != NULL; /* our order may differ */
        if (!moved && !raw_has(&r, want))
            fail_msg("case %zu (%s): no '%s' in '%s'", i, slow ? "slow" : "whole", want,
                     r.in.p != NULL ? r.in.p : "");
    }
    if (strstr(good[i].send, "/cut") == NULL && raw_count(&r, "HTTP/1.1 ") != good[i].answers)
        fail_msg("case %zu: %zu answers: %s", i, raw_count(&r, "HTTP/1.1 "), r.in.p);
    assert_false(raw_has(&r, "Injected"));
    dt_buf_done(&r.in);
    fixture_done(&f);
    assert_int_equal(app.done, app.requests);
}

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        run_good(i, false);
}

static void test_good_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        run_good(i, true);
}

/* --- what is refused --- */

static const struct {
    const char *send;
    size_t n; /* 0 = strlen */
} bad[] = {
    {"GET / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 0},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\na", 0},
    {"GET / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\na", 0},
    {"GET / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\na", 0},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\na", 0},
    {"GET / HTTP/1.1\r\n" H "Content-Length: \r\n\r\na", 0},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\na", 0},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H
     "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     0},
    {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "X : y\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "X: y\r\n folded\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n folded: x\r\n" H "\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "X: y\n\r\n", 0},
    {"GET / HTTP/1.1\n" H "\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "\n", 0},
    {"GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n",
     sizeof("GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n") - 1},
    {"GET / HTTP/1.1\r\n" H ": y\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "no colon\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H H "\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 0},
    {"GET / HTTP/2.0\r\n" H "\r\n", 0},
    {"GET / HTTP/1.2\r\n" H "\r\n", 0},
    {"GET / RTSP/1.0\r\n" H "\r\n", 0},
    {"SOURCE / ICE/1.0\r\n" H "\r\n", 0},
    {"GET / HTTP/0.9\r\n\r\n", 0},
    {"GET /\r\n" H "\r\n", 0},
    {"GET x HTTP/1.1\r\n" H "\r\n", 0},
    {"GET ftp://h/ HTTP/1.1\r\n" H "\r\n", 0},
    {"GET http:///x HTTP/1.1\r\n" H "\r\n", 0},
    {"GET http://u@h/ HTTP/1.1\r\n" H "\r\n", 0},
    {"GET /#f HTTP/1.1\r\n" H "\r\n", 0},
    {"GET /a b HTTP/1.1\r\n" H "\r\n", 0},
    {"G@T / HTTP/1.1\r\n" H "\r\n", 0},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11},
    {"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 0},
    {"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\nab\r\n0\r\n\r\n", 0},
    {"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", 0},
    {"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n", 0},
    {"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\nabc", 0},
};

/* Each is refused while its connection is open: nothing else would end it. */
static void run_bad(size_t i, bool slow)
{
    struct fixture f;
    struct raw r = {.slow = slow};
    app_reset();
    fixture_init(&f, NULL, handler);
    raw_start(&r, &f, bad[i].send, bad[i].n != 0 ? bad[i].n : strlen(bad[i].send));
    fixture_until(&f, &r.closed);
    bool body = strncmp(bad[i].send, "POST", 4) == 0;
    if (r.in.n == 0 || strncmp(r.in.p, "HTTP/1.1 400 Bad Request\r\n", 26) != 0)
        fail_msg("case %zu: '%s' got '%s'", i, bad[i].send, r.in.p != NULL ? r.in.p : "");
    assert_true(raw_has(&r, "Connection: close\r\n"));
    assert_int_equal(raw_count(&r, "HTTP/1.1 400"), 1);
    assert_int_equal(app.requests, body ? 1 : 0);
    dt_buf_done(&r.in);
    fixture_done(&f);
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        run_bad(i, false);
}

static void test_bad_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        run_bad(i, true);
}

static void expect_status(const char *send, size_t n, const char *status)
{
    struct fixture f;
    struct raw r = {.half_close = false};
    app_reset();
    fixture_init(&f, NULL, handler);
    raw_start(&r, &f, send, n);
    fixture_until(&f, &r.closed);
    if (r.in.n == 0 || !raw_has(&r, status))
        fail_msg("no '%s' in '%s'", status, r.in.p != NULL ? r.in.p : "");
    dt_buf_done(&r.in);
    fixture_done(&f);
}

static void test_head_limits(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf b;
    struct dt_err err;
    dt_buf_init(&b, 1 << 20);
    for (int lines = 100; lines <= 101; lines++) {
        dt_buf_clear(&b);
        assert_int_equal(dt_buf_addz(&b, "GET / HTTP/1.1\r\n" H "Connection: close\r\n", &err), 0);
        for (int i = 2; i < lines; i++)
            assert_int_equal(dt_buf_addf(&b, &err, "X-%d: v\r\n", i), 0);
        assert_int_equal(dt_buf_addz(&b, "\r\n", &err), 0);
        expect_status(b.p, b.n, lines == 100 ? "HTTP/1.1 200 " : "HTTP/1.1 431 ");
    }
    for (int over = 0; over <= 1; over++) {
        dt_buf_clear(&b);
        assert_int_equal(dt_buf_addz(&b, "GET / HTTP/1.1\r\n" H "Connection: close\r\nX: ", &err),
                         0);
        while (b.n < DT_HTTP_HEAD_MAX - 4 + (size_t)over)
            assert_int_equal(dt_buf_add(&b, "a", 1, &err), 0);
        assert_int_equal(dt_buf_addz(&b, "\r\n\r\n", &err), 0);
        expect_status(b.p, b.n, over ? "HTTP/1.1 431 " : "HTTP/1.1 200 ");
    }
    dt_buf_clear(&b); /* chunk extensions without end */
    assert_int_equal(
        dt_buf_addz(&b, "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1;", &err),
        0);
    while (b.n < 100000)
        assert_int_equal(dt_buf_add(&b, "a", 1, &err), 0);
    expect_status(b.p, b.n, "HTTP/1.1 400 ");
}

/* --- deadlines and limits --- */

/* Sends some of a request. Whether what is wanted came: on a busy machine the time may be over
 * before what was sent has been read. */
static bool dawdle(const char *send, const char *want, uint64_t ms)
{
    const struct dt_http_server_limits limits = {.head_ms = ms, .idle_ms = 2 * ms};
    struct fixture f;
    struct raw r = {0};
    app_reset();
    fixture_init(&f, &limits, handler);
    raw_start(&r, &f, send, strlen(send));
    fixture_until(&f, &r.closed);
    bool came = want == NULL ? r.in.n == 0 : raw_has(&r, want);
    dt_buf_done(&r.in);
    fixture_done(&f);
    assert_int_equal(app.done, app.requests);
    return came;
}

static void test_slowloris(void **state)
{
    (void)state;
    static const struct {
        const char *send;
        const char *want;
    } cases[] = {
        {"GET / HT", "HTTP/1.1 408 "},
        {"", NULL},
        {"GET / HTTP/1.1\r\n" H "\r\n", "GET|/|"},
        {"GET / HTTP/1.1\r\n" H "\r\nGET", "HTTP/1.1 408 "},
        {"POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nabc", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool came = false;
        for (uint64_t ms = 50; !came && ms < 20000; ms *= 5)
            came = dawdle(cases[i].send, cases[i].want, ms);
        assert_true(came);
    }
}

static void test_connection_limit(void **state)
{
    (void)state;
    static const struct dt_http_server_limits limits = {.connections = 1};
    static const char get[] = "GET /late HTTP/1.1\r\n" H "Connection: close\r\n\r\n";
    struct fixture f;
    struct raw first = {0};
    struct raw second = {0};
    app_reset();
    fixture_init(&f, &limits, handler);
    raw_start(&first, &f, get, strlen(get));
    fixture_until(&f, &app.held);
    raw_start(&second, &f, get, strlen(get));
    fixture_until(&f, &second.open); /* connected, in the backlog */
    for (int i = 0; i < 20; i++)
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_int_equal(app.requests, 1);
    app.held = false;
    dt_http_req_reply(app.req, 200, NULL, "1", 1);
    fixture_until(&f, &app.held);
    dt_http_req_reply(app.req, 200, NULL, "2", 1);
    fixture_until(&f, &second.closed);
    fixture_until(&f, &first.closed);
    assert_int_equal(app.requests, 2);
    dt_buf_done(&first.in);
    dt_buf_done(&second.in);
    fixture_done(&f);
}

/* --- clients that go away --- */

static void test_client_leaves(void **state)
{
    (void)state;
    static const char *const sends[] = {"GET /late HTTP/1.1\r\n" H "\r\n",
                                        "GET /zombie HTTP/1.1\r\n" H "\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        struct raw r = {0};
        app_reset();
        fixture_init(&f, NULL, handler);
        raw_start(&r, &f, sends[i], strlen(sends[i]));
        fixture_until(&f, &app.held);
        dt_conn_close(r.conn);
        fixture_until(&f, &r.closed);
        if (i == 0) {
            fixture_until(&f, &app.gone); /* on_done tells that nobody waits any more */
            assert_int_equal(app.complete, 0);
        }
        struct dt_http_req *zombie = app.req;
        dt_buf_done(&r.in);
        fixture_done(&f); /* the server is gone, too */
        if (i == 1) {
            assert_true(dt_str_eq(dt_http_req_path(zombie), DT_STR("/zombie")));
            dt_http_req_add_header(zombie, "X", DT_STR("y"));
            dt_http_req_reply(zombie, 200, NULL, "late", 4); /* frees it; ASan watches */
        }
    }
}

static void test_half_close_waits(void **state)
{
    (void)state;
    static const char get[] = "GET /late HTTP/1.1\r\n" H "\r\n";
    struct fixture f;
    struct raw r = {.half_close = true};
    app_reset();
    fixture_init(&f, NULL, handler);
    raw_start(&r, &f, get, strlen(get));
    fixture_until(&f, &app.held);
    for (int i = 0; i < 10; i++)
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_non_null(app.req);
    dt_http_req_reply(app.req, 200, NULL, "still here", 10);
    assert_int_equal(app.done, 0); /* never from inside a call */
    fixture_until(&f, &r.closed);
    assert_true(raw_has(&r, "still here"));
    assert_int_equal(app.complete, 1);
    dt_buf_done(&r.in);
    fixture_done(&f);
}

/* --- flow --- */

static void test_backpressure_down(void **state)
{
    (void)state;
    static const char get[] = "GET /big HTTP/1.1\r\n" H "Connection: close\r\n\r\n";
    struct fixture f;
    struct raw r = {.hold = true};
    app_reset();
    fixture_init(&f, NULL, handler);
    raw_start(&r, &f, get, strlen(get));
    while (app.drains == 0)
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    for (int i = 0; i < 50; i++)
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    uint64_t stuck = app.left;
    assert_true(stuck > 4u << 20); /* the handler was held back */
    for (int i = 0; i < 50; i++)
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_int_equal(app.left, stuck);
    dt_conn_resume(r.conn);
    fixture_until(&f, &r.closed);
    assert_true(r.in.n > 16u << 20);
    assert_int_equal(app.complete, 1);
    dt_buf_done(&r.in);
    fixture_done(&f);
}

/* --- files --- */

static void make_file(void)
{
    app.file = memfd_create("file", MFD_CLOEXEC);
    assert_true(app.file >= 0);
    for (uint32_t i = 0; i < FILE_SIZE / 4096; i++) {
        uint32_t page[1024];
        for (uint32_t k = 0; k < 1024; k++)
            page[k] = i * 1024 + k;
        assert_int_equal(write(app.file, page, sizeof(page)), sizeof(page));
    }
}

static void check_file(const struct raw *r)
{
    const char *body = memmem(r->in.p, r->in.n, "\r\n\r\n", 4);
    assert_non_null(body);
    body += 4;
    assert_int_equal(r->in.n - (size_t)(body - r->in.p), FILE_SIZE);
    for (uint32_t i = 0; i < FILE_SIZE / 4; i++) {
        uint32_t got;
        memcpy(&got, body + i * sizeof(got), sizeof(got));
        if (got != i)
            fail_msg("byte %u differs", i * 4);
    }
}

static void until_stuck(struct fixture *f)
{
    while (app.drains == 0 && !f->late)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    for (int i = 0; i < 50; i++)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* Reads at once, or only after a while. */
static void test_sendfile(void **state)
{
    (void)state;
    static const char get[] = "GET /file HTTP/1.1\r\n" H "Connection: close\r\n\r\n";
    for (int hold = 0; hold < 2; hold++) {
        struct fixture f;
        struct raw r = {.hold = hold};
        app_reset();
        make_file();
        fixture_init(&f, NULL, handler);
        raw_start(&r, &f, get, strlen(get));
        if (hold) {
            until_stuck(&f);
            assert_true(app.left > 4u << 20); /* the handler was held back */
            dt_conn_resume(r.conn);
        }
        fixture_until(&f, &r.closed);
        check_file(&r);
        assert_true(app.pieces >= 1 && app.pieces < 10);
        assert_int_equal(app.complete, 1);
        dt_buf_done(&r.in);
        (void)close(app.file);
        fixture_done(&f);
    }
}

/* Who takes nothing for a while, or leaves, ends the exchange. */
static void test_sendfile_to_nobody(void **state)
{
    (void)state;
    static const char get[] = "GET /file HTTP/1.1\r\n" H "\r\n";
    const struct dt_http_server_limits limits = {.idle_ms = 1500}; /* also until it has asked */
    for (int leaves = 0; leaves < 2; leaves++) {
        struct fixture f;
        struct raw r = {.hold = true};
        app_reset();
        make_file();
        fixture_init(&f, leaves ? NULL : &limits, handler);
        raw_start(&r, &f, get, strlen(get));
        until_stuck(&f);
        if (leaves)
            dt_conn_close(r.conn);
        fixture_until(&f, &app.gone);
        if (!leaves)
            dt_conn_close(r.conn);
        fixture_until(&f, &r.closed);
        assert_int_equal(app.complete, 0);
        dt_buf_done(&r.in);
        (void)close(app.file);
        fixture_done(&f);
    }
}

static void test_backpressure_up(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf b;
    struct dt_err err;
    struct fixture f;
    struct raw r = {.half_close = true};
    dt_buf_init(&b, 1 << 20);
    assert_int_equal(
        dt_buf_addz(&b, "POST /slow-echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
                    &err),
        0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(dt_buf_addf(&b, &err, "4\r\n<%02d>\r\n", i), 0);
    assert_int_equal(dt_buf_addz(&b, "0\r\n\r\n", &err), 0);
    app_reset();
    fixture_init(&f, NULL, handler);
    raw_start(&r, &f, b.p, b.n);
    for (int i = 0; i < 20; i++) {
        char piece[8];
        fixture_until(&f, &app.held);
        app.held = false;
        for (int k = 0; k < 5; k++)
            (void)uv_run(&f.loop, UV_RUN_NOWAIT);
        assert_false(app.held); /* nothing comes while it is paused */
        (void)snprintf(piece, sizeof(piece), "<%02d>", i);
        assert_true(raw_has(&r, piece));
        dt_http_req_resume(app.req);
        assert_false(app.held); /* and nothing from inside resume */
    }
    fixture_until(&f, &r.closed);
    assert_true(raw_has(&r, "\r\n0\r\n\r\n"));
    dt_buf_done(&r.in);
    fixture_done(&f);
}

static void test_unwanted_body(void **state)
{
    (void)state;
    for (int big = 0; big <= 1; big++) {
        DT_AUTO_BUF struct dt_buf b;
        struct dt_err err;
        struct fixture f;
        struct raw r = {0};
        size_t n = big ? 3 << 20 : 1 << 19;
        dt_buf_init(&b, 8 << 20);
        assert_int_equal(
            dt_buf_addf(&b, &err, "POST / HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", n), 0);
        assert_int_equal(dt_buf_reserve(&b, n, &err), 0);
        memset(b.p + b.n, 'x', n);
        b.n += n;
        assert_int_equal(
            dt_buf_addz(&b, "GET /next HTTP/1.1\r\n" H "Connection: close\r\n\r\n", &err), 0);
        app_reset();
        fixture_init(&f, NULL, handler);
        raw_start(&r, &f, b.p, b.n);
        fixture_until(&f, &r.closed);
        assert_true(raw_has(&r, "POST|/|"));
        assert_int_equal(raw_has(&r, "GET|/next|"), !big);
        assert_int_equal(app.requests, big ? 1 : 2);
        dt_buf_done(&r.in);
        fixture_done(&f);
    }
}

static void test_stop_waits_for_exchanges(void **state)
{
    (void)state;
    static const char get[] = "GET /late HTTP/1.1\r\n" H "\r\n";
    struct fixture f;
    struct raw r = {0};
    app_reset();
    fixture_init(&f, NULL, handler);
    raw_start(&r, &f, get, strlen(get));
    fixture_until(&f, &app.held);
    dt_http_server_stop(f.server, 10000, fixture_on_stop, &f);
    for (int i = 0; i < 10; i++)
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_false(f.stopped);
    dt_http_req_reply(app.req, 200, NULL, "bye", 3);
    fixture_until(&f, &f.stopped);
    fixture_until(&f, &r.closed);
    assert_true(raw_has(&r, "Connection: close\r\n"));
    assert_true(raw_has(&r, "bye"));
    dt_buf_done(&r.in);
    uv_close((uv_handle_t *)&f.deadline, NULL);
    assert_int_equal(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f.loop), 0);
}

/* --- listening --- */

static void test_listen_unix(void **state)
{
    (void)state;
    struct fixture f;
    struct dt_err err;
    struct stat st;
    char dir[] = "/tmp/dt-net-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/s", dir);
    fixture_init(&f, NULL, handler);
    assert_int_equal(dt_http_server_listen_unix(f.server, path, 0620, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0620);
    assert_int_equal(dt_http_server_listen_unix(f.server, path, 0600, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    assert_int_equal(dt_http_server_listen_tcp(f.server, "127.0.0.1", f.port, NULL, &err), -1);
    assert_int_equal(err.sys_errno, EADDRINUSE);
    assert_int_equal(dt_http_server_listen_tcp(f.server, "no.address", 1, NULL, &err), -1);
    assert_int_equal(err.code, DT_E_INVALID);
    fixture_done(&f);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(rmdir(dir), 0);
}

/* --- a client that we did not write --- */

static void on_curl_exit(uv_process_t *p, int64_t status, int signal)
{
    bool *ended = p->data;
    *ended = true;
    assert_int_equal(signal, 0);
    assert_int_equal(status, 0);
    uv_close((uv_handle_t *)p, NULL);
}

static void test_curl(void **state)
{
    (void)state;
    static const char script[] =
        "set -e; u=http://127.0.0.1:$1; c='curl -sS -m 60'\n"
        "test \"$($c $u/x?y)\" = \"GET|/x?y|/x|y|127.0.0.1:$1|\"\n"
        "test \"$($c -d hello $u/echo)\" = hello\n"
        "test \"$(printf chunked | $c -T - $u/echo)\" = chunked\n"
        "test \"$($c -H 'Expect: 100-continue' -d hello $u/echo)\" = hello\n"
        "test \"$($c -0 $u/)\" = \"GET|/|/||127.0.0.1:$1|\"\n"
        "test \"$($c $u/1 $u/2 -o /dev/null -o /dev/null -w '%{num_connects}')\" = 10\n"
        "test \"$($c -I $u/ -w '%{http_code}' -o /dev/null)\" = 200\n"
        "test \"$($c $u/big -o /dev/null -w '%{size_download}')\" = 16777216\n"
        "head -c 100 /dev/zero | $c -T - -o /dev/null -w '%{http_code}' $u/echo | grep -qx 413\n";
    char port[8];
    char *args[] = {(char *)(uintptr_t) "sh",
                    (char *)(uintptr_t) "-c",
                    (char *)(uintptr_t)script,
                    (char *)(uintptr_t) "sh",
                    port,
                    NULL};
    uv_stdio_container_t io[3] = {{.flags = UV_IGNORE},
                                  {.flags = UV_INHERIT_FD, .data.fd = 1},
                                  {.flags = UV_INHERIT_FD, .data.fd = 2}};
    uv_process_options_t o = {
        .file = "sh", .args = args, .exit_cb = on_curl_exit, .stdio = io, .stdio_count = 3};
    uv_process_t p;
    struct fixture f;
    bool ended = false;
    app_reset();
    fixture_init(&f, NULL, handler);
    (void)snprintf(port, sizeof(port), "%u", f.port);
    p.data = &ended;
    assert_int_equal(uv_spawn(&f.loop, &p, &o), 0);
    fixture_until(&f, &ended);
    fixture_done(&f);
    assert_int_equal(app.done, app.requests);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_good_byte_by_byte),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_bad_byte_by_byte),
        cmocka_unit_test(test_head_limits),
        cmocka_unit_test(test_slowloris),
        cmocka_unit_test(test_connection_limit),
        cmocka_unit_test(test_client_leaves),
        cmocka_unit_test(test_half_close_waits),
        cmocka_unit_test(test_backpressure_down),
        cmocka_unit_test(test_backpressure_up),
        cmocka_unit_test(test_sendfile),
        cmocka_unit_test(test_sendfile_to_nobody),
        cmocka_unit_test(test_unwanted_body),
        cmocka_unit_test(test_stop_waits_for_exchanges),
        cmocka_unit_test(test_listen_unix),
        cmocka_unit_test(test_curl),
    };
    return cmocka_run_group_tests_name("http_server", tests, NULL, NULL);
}
