#include "net_canned.h"

#include <stdio.h>
#include <unistd.h>

#include "net/dns.h"
#include "net/http_client.h"

/* --- one call, watched --- */

struct watch {
    struct dt_http_call *call;
    struct dt_buf body;
    char headers[512];
    int status;
    unsigned heads;
    unsigned pieces;
    unsigned drains;
    bool done;
    bool pause; /* after each piece */
    bool waiting;
    enum dt_err_code code;
    char message[512];
    struct dt_conn *upgraded;
    char early[64];
};

static void on_head(void *ctx, int status, const struct dt_http_header *h, size_t n)
{
    struct watch *w = ctx;
    w->heads++;
    w->status = status;
    w->headers[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        size_t at = strlen(w->headers);
        (void)snprintf(w->headers + at, sizeof(w->headers) - at, "%.*s=%.*s;", (int)h[i].name.n,
                       h[i].name.p, (int)h[i].value.n, h[i].value.p);
    }
}

static void on_data(void *ctx, const char *p, size_t n)
{
    struct watch *w = ctx;
    struct dt_err err;
    assert_false(w->waiting);
    assert_int_equal(dt_buf_add(&w->body, p, n, &err), 0);
    w->pieces++;
    if (w->pause) {
        w->waiting = true;
        dt_http_call_pause(w->call);
    }
}

static void on_drain(void *ctx)
{
    ((struct watch *)ctx)->drains++;
}

static void on_done(void *ctx, const struct dt_err *err)
{
    struct watch *w = ctx;
    assert_false(w->done);
    w->done = true;
    w->call = NULL;
    w->code = err != NULL ? err->code : DT_OK;
    (void)snprintf(w->message, sizeof(w->message), "%s", err != NULL ? err->msg : "");
}

static struct dt_http_call_opts options(struct watch *w, const char *method, const char *target)
{
    dt_buf_init(&w->body, 32 << 20);
    return (struct dt_http_call_opts){
        .method = method,
        .target = dt_str_z(target),
        .on_head = on_head,
        .on_data = on_data,
        .on_drain = on_drain,
        .on_done = on_done,
        .ctx = w,
    };
}

static void start(struct dt_http_client *c, struct watch *w, const struct dt_http_call_opts *o)
{
    struct dt_err err;
    if (dt_http_call_start(c, o, &w->call, &err) < 0)
        fail_msg("%s", err.msg);
    assert_false(w->done); /* never from inside start */
}

static struct dt_http_client *client_for(uv_loop_t *loop, uint16_t port, unsigned idle)
{
    struct dt_addr addr = {.host = "localhost", .port = port};
    struct dt_http_client *c;
    struct dt_err err;
    assert_int_equal(dt_http_client_new(loop, &addr, idle, &c, &err), 0);
    return c;
}

/* --- answers --- */

#define OK "HTTP/1.1 200 OK\r\n"

static const struct {
    const char *answer;
    const char *method; /* NULL = GET */
    const char *body;
    int status; /* 0 = the call fails with UNREACHABLE */
    bool end;   /* the server closes behind it */
} answers[] = {
    {OK "Content-Length: 5\r\n\r\nhello", NULL, "hello", 200, false},
    {OK "Content-Length: 0\r\n\r\n", NULL, "", 200, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\nT: v\r\n\r\n", NULL,
     "hello", 200, false},
    {OK "\r\nuntil the end", NULL, "until the end", 200, true},
    {"HTTP/1.0 200 OK\r\n\r\nold", NULL, "old", 200, true},
    {OK "Content-Length: 5\r\n\r\n", "HEAD", "", 200, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n", "HEAD", "", 200, false},
    {"HTTP/1.1 204 No Content\r\n\r\n", NULL, "", 204, false},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", NULL, "", 304, false},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK
     "Content-Length: 1\r\n\r\na",
     NULL, "a", 200, false},
    {"HTTP/1.1 404 \r\nContent-Length: 2\r\n\r\nno", NULL, "no", 404, false},
    {OK "Content-Length: 5\r\n\r\nhello, and more", NULL, "hello", 200, false},
    /* refused */
    {OK "Content-Length: 5\r\n\r\nhell", NULL, NULL, 0, true},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", NULL, NULL, 0, true},
    {OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", NULL, NULL, 0, false},
    {OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NULL, NULL, 0, false},
    {OK "Transfer-Encoding: gzip\r\n\r\nx", NULL, NULL, 0, true},
    {OK "X: a\r\n b\r\n\r\n", NULL, NULL, 0, true},
    {OK "X: a\n\r\n", NULL, NULL, 0, false},
    {OK "X : a\r\n\r\n", NULL, NULL, 0, true},
    {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", NULL, NULL, 0,
     false},
    {"HTTP/2 200 OK\r\n\r\n", NULL, NULL, 0, true},
    {"RTSP/1.0 200 OK\r\n\r\n", NULL, NULL, 0, true},
    {"SSH-2.0-OpenSSH_9.2\r\n", NULL, NULL, 0, true},
    {"", NULL, NULL, 0, true},
};

static void run_answer(size_t i, bool slow)
{
    struct fixture f;
    struct canned s = {.slow = slow, .end = answers[i].end};
    struct watch w = {0};
    fixture_init(&f, NULL, NULL);
    canned_start(&s, &f.loop, answers[i].answer, strlen(answers[i].answer));
    struct dt_http_client *c = client_for(&f.loop, s.port, 4);
    struct dt_http_call_opts o =
        options(&w, answers[i].method != NULL ? answers[i].method : "GET", "/");
    start(c, &w, &o);
    fixture_until(&f, &w.done);
    if (answers[i].status == 0) {
        if (w.code != DT_E_UNREACHABLE)
            fail_msg("case %zu: code %d, %s", i, (int)w.code, w.message);
    } else {
        if (w.code != DT_OK || w.status != answers[i].status || w.heads != 1)
            fail_msg("case %zu: %d %s", i, w.status, w.message);
        assert_true(dt_str_eq(dt_buf_str(&w.body), dt_str_z(answers[i].body)));
    }
    dt_buf_done(&w.body);
    (void)dt_http_client_free(c);
    canned_done(&s);
    fixture_done(&f);
}

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        run_answer(i, false);
}

static void test_answers_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        run_answer(i, true);
}

static void test_request_text(void **state)
{
    (void)state;
    static const char answer[] = OK "Content-Length: 0\r\nConnection: close\r\n\r\n";
    struct fixture f;
    struct canned s = {0};
    struct watch w = {0};
    fixture_init(&f, NULL, NULL);
    canned_start(&s, &f.loop, answer, strlen(answer));
    struct dt_http_client *c = client_for(&f.loop, s.port, 4);
    struct dt_http_call_opts o = options(&w, "POST", "/p?q");
    const struct dt_http_header headers[] = {{DT_STR("X-A"), DT_STR("1")}};
    o.host = "example.test";
    o.headers = headers;
    o.nheaders = 1;
    o.body = DT_STR("body");
    start(c, &w, &o);
    fixture_until(&f, &w.done);
    assert_int_equal(w.code, DT_OK);
    assert_string_equal(s.in.p, "POST /p?q HTTP/1.1\r\nHost: example.test\r\nX-A: 1\r\n"
                                "Content-Length: 4\r\n\r\nbody");
    (void)dt_http_client_free(c);
    canned_done(&s);
    fixture_done(&f);
}

static void test_bad_requests(void **state)
{
    (void)state;
    static const struct dt_http_header split = {{"X", 1}, {"a\r\nY: b", 7}};
    static const struct dt_http_header spaced = {{"X Y", 3}, {"a", 1}};
    struct fixture f;
    struct watch w = {0};
    struct dt_err err;
    fixture_init(&f, NULL, NULL);
    struct dt_http_client *c = client_for(&f.loop, 1, 4);
    struct dt_http_call_opts o[5];
    for (size_t i = 0; i < 5; i++)
        o[i] = options(&w, "GET", "/");
    o[0].method = "G T";
    o[1].target = DT_STR("/a b");
    o[2].headers = &split;
    o[3].headers = &spaced;
    o[2].nheaders = o[3].nheaders = 1;
    o[4].host = "a\r\nb";
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(dt_http_call_start(c, &o[i], &w.call, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
    }
    assert_false(w.done);
    (void)dt_http_client_free(c);
    fixture_done(&f);
}

/* --- kept connections --- */

static void test_keep_alive_and_retry(void **state)
{
    (void)state;
    static const char answer[] = OK "Content-Length: 2\r\n\r\nhi";
    struct fixture f;
    struct canned s = {.close_kept = true};
    fixture_init(&f, NULL, NULL);
    canned_start(&s, &f.loop, answer, strlen(answer));
    struct dt_http_client *c = client_for(&f.loop, s.port, 4);
    for (int i = 0; i < 3; i++) { /* each but the first meets a connection that closes on it */
        struct watch w = {0};
        struct dt_http_call_opts o = options(&w, "GET", "/");
        start(c, &w, &o);
        fixture_until(&f, &w.done);
        assert_int_equal(w.code, DT_OK);
        assert_int_equal(s.connections, i + 1);
        dt_buf_done(&w.body);
    }
    struct watch w = {0};
    struct dt_http_call_opts o = options(&w, "POST", "/");
    o.body = DT_STR("once only");
    start(c, &w, &o);
    fixture_until(&f, &w.done);
    assert_int_equal(w.code, DT_E_UNREACHABLE);
    dt_buf_done(&w.body);
    (void)dt_http_client_free(c);
    canned_done(&s);
    fixture_done(&f);
}

static void echo_body(void *ctx, struct dt_str body, const struct dt_err *err)
{
    assert_null(err);
    dt_http_req_reply(ctx, 200, "text/plain", body.p, body.n);
}

static unsigned peers;
static const void *last_peer;

static void echo_piece(void *ctx, const char *p, size_t n)
{
    if (!dt_http_req_write(ctx, p, n))
        dt_http_req_pause(ctx);
}

static void echo_drained(void *ctx)
{
    dt_http_req_resume(ctx);
}

static void echo_end(void *ctx)
{
    dt_http_req_end(ctx);
}

static void ignore_done(void *ctx, bool complete)
{
    (void)ctx;
    assert_false(complete);
}

static void server(void *ctx, struct dt_http_req *r)
{
    (void)ctx;
    if (dt_http_req_conn(r) != last_peer)
        peers++;
    last_peer = dt_http_req_conn(r);
    if (dt_str_eq(dt_http_req_path(r), DT_STR("/early"))) {
        dt_http_req_reply(r, 403, NULL, "no", 2);
    } else if (dt_str_eq(dt_http_req_path(r), DT_STR("/never"))) {
        dt_http_req_on_done(r, ignore_done, NULL);
        dt_http_req_begin(r, 200, 5);
        (void)dt_http_req_write(r, "abc", 3);
    } else if (dt_str_eq(dt_http_req_path(r), DT_STR("/stream"))) {
        dt_http_req_on_drain(r, echo_drained, r);
        dt_http_req_begin(r, 200, UINT64_MAX);
        dt_http_req_stream(r, echo_piece, echo_end, r);
    } else {
        dt_http_req_collect(r, 1 << 20, echo_body, r);
    }
}

static void test_reuse(void **state)
{
    (void)state;
    struct fixture f;
    peers = 0;
    last_peer = NULL;
    fixture_init(&f, NULL, server);
    struct dt_http_client *c = client_for(&f.loop, f.port, 1);
    for (int i = 0; i < 5; i++) {
        struct watch w = {0};
        struct dt_http_call_opts o = options(&w, "PUT", "/");
        o.body = DT_STR("text");
        start(c, &w, &o);
        fixture_until(&f, &w.done);
        assert_int_equal(w.code, DT_OK);
        assert_string_equal(w.body.p, "text");
        dt_buf_done(&w.body);
    }
    assert_int_equal(peers, 1);
    (void)dt_http_client_free(c);
    fixture_done(&f);
}

/* --- streams --- */

static void run_stream(uint64_t declared, size_t piece, size_t count)
{
    struct fixture f;
    struct watch w = {.pause = true};
    DT_AUTO_FREE char *bytes = malloc(piece);
    assert_non_null(bytes);
    fixture_init(&f, NULL, server);
    struct dt_http_client *c = client_for(&f.loop, f.port, 1);
    struct dt_http_call_opts o = options(&w, "POST", "/stream");
    o.stream_body = true;
    o.body_length = declared;
    start(c, &w, &o);
    for (size_t i = 0; i < count; i++) {
        memset(bytes, 'a' + (int)(i % 26), piece);
        unsigned before = w.drains;
        assert_false(w.done);
        if (dt_http_call_write(w.call, bytes, piece))
            continue;
        while (w.drains == before && !w.done && !f.late) { /* the answer flows back meanwhile */
            if (w.waiting) {
                w.waiting = false;
                dt_http_call_resume(w.call);
            }
            (void)uv_run(&f.loop, UV_RUN_ONCE);
        }
    }
    if (!w.done) /* with a declared length it may be over with the last byte */
        dt_http_call_end(w.call);
    while (!w.done && !f.late) {
        if (w.waiting) {
            w.waiting = false;
            dt_http_call_resume(w.call);
        }
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    }
    assert_int_equal(w.code, DT_OK);
    assert_int_equal(w.body.n, piece * count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(w.body.p[i * piece], 'a' + (int)(i % 26));
    dt_buf_done(&w.body);
    (void)dt_http_client_free(c);
    fixture_done(&f);
}

static void test_streams(void **state)
{
    (void)state;
    run_stream(UINT64_MAX, 5, 3);
    run_stream(15, 5, 3);
    run_stream(UINT64_MAX, 100000, 80);
    run_stream(8000000, 100000, 80);
}

static void test_too_short(void **state)
{
    (void)state;
    struct fixture f;
    struct watch w = {0};
    fixture_init(&f, NULL, server);
    struct dt_http_client *c = client_for(&f.loop, f.port, 1);
    struct dt_http_call_opts o = options(&w, "POST", "/stream");
    o.stream_body = true;
    o.body_length = 10;
    start(c, &w, &o);
    assert_true(dt_http_call_write(w.call, "12345", 5));
    dt_http_call_end(w.call);
    fixture_until(&f, &w.done);
    assert_int_equal(w.code, DT_E_CANCELLED);
    dt_buf_done(&w.body);
    (void)dt_http_client_free(c);
    fixture_done(&f);
}

/* The answer comes while the body is still on its way. */
static void test_early_answer(void **state)
{
    (void)state;
    struct fixture f;
    struct watch w = {0};
    static char bytes[65536];
    fixture_init(&f, NULL, server);
    struct dt_http_client *c = client_for(&f.loop, f.port, 1);
    struct dt_http_call_opts o = options(&w, "POST", "/early");
    o.stream_body = true;
    o.body_length = UINT64_MAX;
    start(c, &w, &o);
    while (!w.done && !f.late) {
        (void)dt_http_call_write(w.call, bytes, sizeof(bytes));
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    }
    assert_int_equal(w.code, DT_OK);
    assert_int_equal(w.status, 403);
    assert_string_equal(w.body.p, "no");
    dt_buf_done(&w.body);
    (void)dt_http_client_free(c);
    fixture_done(&f);
}

/* --- ends --- */

enum { CANCEL, FREE, TOTAL, IDLE, ENDS };

/* Ends a call in the middle of its answer. False: its time was over before that had begun, which
 * on a busy machine a longer one is not. */
static bool ends(int kind, uint64_t ms)
{
    struct fixture f;
    struct watch w = {0};
    fixture_init(&f, NULL, server);
    struct dt_http_client *c = client_for(&f.loop, f.port, 1);
    struct dt_http_call_opts o = options(&w, "GET", "/never");
    o.total_ms = kind == TOTAL ? ms : 0;
    o.idle_ms = kind == IDLE ? ms : 0;
    start(c, &w, &o);
    while (w.body.n < 3 && !w.done && !f.late)
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    bool begun = w.body.n == 3;
    if (kind == CANCEL)
        dt_http_call_cancel(w.call);
    if (kind == FREE)
        c = dt_http_client_free(c);
    assert_false(w.done && (kind == CANCEL || kind == FREE));
    fixture_until(&f, &w.done);
    assert_int_equal(w.code, kind == CANCEL || kind == FREE ? DT_E_CANCELLED : DT_E_TIMEOUT);
    dt_buf_done(&w.body);
    (void)dt_http_client_free(c);
    fixture_done(&f);
    return begun;
}

static void test_ends(void **state)
{
    (void)state;
    for (int kind = 0; kind < ENDS; kind++) {
        bool begun = false;
        for (uint64_t ms = 50; !begun && ms < 20000; ms *= 4)
            begun = ends(kind, ms);
        assert_true(begun);
    }
}

static void test_cannot_connect(void **state)
{
    (void)state;
    struct dt_addr addrs[] = {
        {.host = "127.0.0.1", .port = 1},
        {.path = "/nonexistent/socket"},
        {.host = "::1", .port = 1},
        {.host = "localhost", .port = 1},
    };
    for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
        struct fixture f;
        struct watch w = {0};
        struct dt_http_client *c;
        struct dt_err err;
        fixture_init(&f, NULL, server);
        assert_int_equal(dt_http_client_new(&f.loop, &addrs[i], 1, &c, &err), 0);
        struct dt_http_call_opts o = options(&w, "GET", "/");
        start(c, &w, &o);
        fixture_until(&f, &w.done);
        assert_int_equal(w.code, DT_E_UNREACHABLE);
        (void)dt_http_client_free(c);
        fixture_done(&f);
    }
}

static void test_names_and_tls_need_their_library(void **state)
{
    (void)state;
    struct dt_addr tls = {.host = "127.0.0.1", .port = 443, .tls = true};
    struct dt_addr name = {.host = "no-such-name.invalid", .port = 80};
    struct fixture f;
    struct watch w = {0};
    struct dt_http_client *c;
    struct dt_err err;
    fixture_init(&f, NULL, server);
    assert_int_equal(dt_http_client_new(&f.loop, &tls, 1, &c, &err), 0);
    struct dt_http_call_opts o = options(&w, "GET", "/");
    assert_int_equal(dt_http_call_start(c, &o, &w.call, &err), -1);
    assert_int_equal(err.code, DT_E_UNSUPPORTED);
    (void)dt_http_client_free(c);

    assert_int_equal(dt_http_client_new(&f.loop, &name, 1, &c, &err), 0);
    assert_int_equal(dt_http_call_start(c, &o, &w.call, &err), -1);
    assert_int_equal(err.code, DT_E_UNSUPPORTED);
    dt_dns_enable();
    o.connect_ms = 5000;
    start(c, &w, &o);
    fixture_until(&f, &w.done);
    assert_true(w.code == DT_E_UNREACHABLE || w.code == DT_E_TIMEOUT);
    struct watch again = {0};
    o = options(&again, "GET", "/");
    start(c, &again, &o); /* cancelled while the look-up runs */
    dt_http_call_cancel(again.call);
    fixture_until(&f, &again.done);
    assert_int_equal(again.code, DT_E_CANCELLED);
    (void)dt_http_client_free(c);
    fixture_done(&f);
}

/* --- upgrades and fetch --- */

static void upgraded_data(void *ctx, const char *p, size_t n)
{
    struct watch *w = ctx;
    size_t at = strlen(w->early);
    (void)snprintf(w->early + at, sizeof(w->early) - at, "%.*s", (int)n, p);
}

static void upgraded_close(void *ctx, const struct dt_err *err)
{
    (void)err;
    ((struct watch *)ctx)->upgraded = NULL;
}

static void on_upgrade(void *ctx, struct dt_conn *conn, struct dt_str early)
{
    static const struct dt_conn_events events = {.on_data = upgraded_data,
                                                 .on_close = upgraded_close};
    struct watch *w = ctx;
    assert_false(w->done);
    w->upgraded = conn;
    dt_conn_set_events(conn, &events, w);
    upgraded_data(w, early.p, early.n);
}

static void test_upgrade(void **state)
{
    (void)state;
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
                                 "Upgrade: x\r\n\r\nearly";
    for (int slow = 0; slow <= 1; slow++) {
        struct fixture f;
        struct canned s = {.slow = slow};
        struct watch w = {0};
        const struct dt_http_header upgrade = {DT_STR("Upgrade"), DT_STR("x")};
        fixture_init(&f, NULL, NULL);
        canned_start(&s, &f.loop, answer, strlen(answer));
        struct dt_http_client *c = client_for(&f.loop, s.port, 4);
        struct dt_http_call_opts o = options(&w, "GET", "/");
        o.headers = &upgrade;
        o.nheaders = 1;
        o.on_upgrade = on_upgrade;
        start(c, &w, &o);
        fixture_until(&f, &w.done);
        assert_int_equal(w.code, DT_OK);
        assert_int_equal(w.status, 101);
        assert_non_null(strstr(s.in.p, "\r\nConnection: Upgrade\r\n"));
        while (strcmp(w.early, "early") != 0 && !f.late)
            (void)uv_run(&f.loop, UV_RUN_ONCE);
        (void)dt_http_client_free(c); /* it is not the client's any more */
        assert_non_null(w.upgraded);
        dt_conn_close(w.upgraded);
        canned_done(&s);
        fixture_done(&f);
        assert_null(w.upgraded);
    }
}

struct fetched {
    bool done;
    int status;
    char text[128];
    enum dt_err_code code;
};

static void on_fetched(void *ctx, const struct dt_http_reply *reply, const struct dt_err *err)
{
    struct fetched *x = ctx;
    x->done = true;
    x->code = err != NULL ? err->code : DT_OK;
    if (reply == NULL)
        return;
    x->status = reply->status;
    (void)snprintf(x->text, sizeof(x->text), "%zu %.*s=%.*s %.*s", reply->nheaders,
                   (int)reply->headers[0].name.n, reply->headers[0].name.p,
                   (int)reply->headers[0].value.n, reply->headers[0].value.p, (int)reply->body.n,
                   reply->body.p);
}

static void test_fetch(void **state)
{
    (void)state;
    static const char answer[] = OK "A: b\r\nContent-Length: 5\r\n\r\nhello";
    for (size_t limit = 4; limit <= 5; limit++) {
        struct fixture f;
        struct canned s = {0};
        struct fetched x = {0};
        struct dt_http_call *call;
        struct dt_err err;
        fixture_init(&f, NULL, NULL);
        canned_start(&s, &f.loop, answer, strlen(answer));
        struct dt_http_client *c = client_for(&f.loop, s.port, 4);
        struct dt_http_call_opts o = {.method = "GET", .target = DT_STR("/")};
        assert_int_equal(dt_http_fetch(c, &o, limit, on_fetched, &x, &call, &err), 0);
        fixture_until(&f, &x.done);
        assert_int_equal(x.code, limit == 4 ? DT_E_TOO_LARGE : DT_OK);
        if (limit == 5) {
            assert_int_equal(x.status, 200);
            assert_string_equal(x.text, "2 A=b hello");
        }
        (void)dt_http_client_free(c);
        canned_done(&s);
        fixture_done(&f);
    }
}

/* --- an answer that goes on for ever --- */

static struct dt_http_req *endless;

static void endless_handler(void *ctx, struct dt_http_req *req)
{
    (void)ctx;
    endless = req;
    dt_http_req_begin(req, 200, UINT64_MAX);
    assert_true(dt_http_req_flush(req));
}

/* What was flushed shows at once on the other side of a unix socket, without a turn of the loop. */
static void test_quiet(void **state)
{
    (void)state;
    struct fixture f;
    struct watch w = {0};
    struct dt_http_client *c;
    struct dt_err err;
    char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/dt-test-quiet-%d", (int)getpid());
    struct dt_addr addr = {.path = path};
    fixture_init(&f, NULL, endless_handler);
    assert_int_equal(dt_http_server_listen_unix(f.server, path, 0600, &err), 0);
    assert_int_equal(dt_http_client_new(&f.loop, &addr, 1, &c, &err), 0);
    struct dt_http_call_opts o = options(&w, "GET", "/");
    start(c, &w, &o);
    assert_false(dt_http_call_is_quiet(w.call)); /* not even connected */
    while (w.heads == 0 && !f.late)
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    for (unsigned i = 1; i < 4; i++) {
        assert_true(dt_http_call_is_quiet(w.call));
        assert_true(dt_http_req_write(endless, "x", 1));
        assert_true(dt_http_req_flush(endless));
        assert_false(dt_http_call_is_quiet(w.call));
        while (w.pieces < i && !f.late)
            (void)uv_run(&f.loop, UV_RUN_ONCE);
    }
    assert_true(dt_http_call_is_quiet(w.call));
    dt_http_req_abort(endless);
    assert_false(dt_http_call_is_quiet(w.call));
    fixture_until(&f, &w.done);
    assert_string_equal(w.body.p, "xxx");
    dt_buf_done(&w.body);
    (void)dt_http_client_free(c);
    fixture_done(&f);
}

/* A reader that does not read is told apart from one that has got everything. */
static void test_flush_says_when_the_kernel_is_full(void **state)
{
    (void)state;
    struct fixture f;
    struct watch w = {.pause = true};
    fixture_init(&f, NULL, endless_handler);
    struct dt_http_client *c = client_for(&f.loop, f.port, 1);
    struct dt_http_call_opts o = options(&w, "GET", "/");
    start(c, &w, &o);
    while (w.heads == 0 && !f.late)
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    static char block[8192];
    unsigned rounds = 0;
    do
        (void)dt_http_req_write(endless, block, sizeof(block));
    while (dt_http_req_flush(endless) && ++rounds < 10000);
    assert_in_range(rounds, 1, 9999);
    dt_http_call_cancel(w.call);
    fixture_until(&f, &w.done);
    dt_http_req_abort(endless);
    dt_buf_done(&w.body);
    (void)dt_http_client_free(c);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_answers_byte_by_byte),
        cmocka_unit_test(test_request_text),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_keep_alive_and_retry),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_too_short),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_cannot_connect),
        cmocka_unit_test(test_names_and_tls_need_their_library),
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_fetch),
        cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_flush_says_when_the_kernel_is_full),
    };
    return cmocka_run_group_tests_name("http_client", tests, NULL, NULL);
}
