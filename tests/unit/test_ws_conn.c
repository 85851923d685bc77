#include "net_fixture.h"

#include "base/auto.h"
#include "net/ws_conn.h"

#define KEY        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define START      "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
#define VERSION    "Sec-WebSocket-Version: 13\r\n"
#define HELLO      START VERSION KEY "\r\n"
#define MASK       "\x00\x00\x00\x00"
#define BYTES(lit) (lit), sizeof(lit) - 1

/* What the server's end of the one connection saw. */
static struct seen {
    struct dt_ws_conn *w;
    struct dt_ws_group group;
    struct dt_ws_opts opts;
    struct dt_buf messages; /* each followed by ';' */
    int code;
    char reason[DT_WS_REASON_MAX + 1];
    bool closed;
    bool refused;
    bool drained;
    bool echo;
    bool pause_each;
    bool pause_once; /* with the first message: no ping can come in between */
    enum dt_err_code error;
} seen;

static void on_message(void *ctx, enum dt_ws_opcode kind, struct dt_str m)
{
    assert_ptr_equal(ctx, &seen);
    assert_false(seen.closed);
    assert_int_equal(dt_buf_addz(&seen.messages, kind == DT_WS_TEXT ? "T" : "B", NULL), 0);
    assert_int_equal(dt_buf_adds(&seen.messages, m, NULL), 0);
    assert_int_equal(dt_buf_addz(&seen.messages, ";", NULL), 0);
    if (seen.echo)
        (void)dt_ws_conn_send(seen.w, kind, m);
    if (seen.pause_each || seen.pause_once) {
        dt_ws_conn_pause(seen.w);
        if (!seen.pause_once)
            dt_ws_conn_resume(seen.w);
        seen.pause_once = false;
    }
    if (dt_str_eq(m, DT_STR("bye")))
        dt_ws_conn_close(seen.w, DT_WS_FAILURE, DT_STR("{\"exitCode\":3}"));
}

static void on_drain(void *ctx)
{
    (void)ctx;
    seen.drained = true;
}

static void on_close(void *ctx, int code, struct dt_str reason)
{
    (void)ctx;
    assert_false(seen.closed);
    seen.closed = true;
    seen.code = code;
    (void)snprintf(seen.reason, sizeof(seen.reason), "%.*s", (int)reason.n, reason.p);
    assert_true(dt_ws_conn_send(seen.w, DT_WS_TEXT, DT_STR("too late")));
    dt_ws_conn_close(seen.w, DT_WS_NORMAL, DT_STR(""));
}

static const struct dt_ws_events events = {on_message, on_drain, on_close};

static void handler(void *ctx, struct dt_http_req *req)
{
    (void)ctx;
    struct dt_err err;
    seen.opts.events = &events;
    seen.opts.ctx = &seen;
    seen.opts.group = &seen.group;
    if (dt_ws_conn_upgrade(req, &seen.opts, &seen.w, &err) == 0)
        return;
    seen.refused = true;
    seen.error = err.code;
    dt_http_req_reply(req, dt_err_http(err.code), "text/plain", err.msg, strlen(err.msg));
}

static void begin(struct fixture *f)
{
    dt_buf_done(&seen.messages);
    seen = (struct seen){.echo = true};
    dt_buf_init(&seen.messages, 16u << 20);
    fixture_init(f, NULL, handler);
}

static void end(struct fixture *f, struct raw *r)
{
    dt_buf_done(&r->in);
    fixture_done(f);
    assert_int_equal(seen.group.count, 0);
    assert_null(seen.group.first);
    dt_buf_done(&seen.messages);
}

/* --- the handshake --- */

static const struct handshake {
    const char *send;
    const char *has;
    const char *hasnot;
    bool refused;
} handshakes[] = {
    {HELLO, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-WebSocket-Protocol", false},
    {START VERSION KEY "Sec-WebSocket-Protocol: a, b\r\n\r\n", "Sec-WebSocket-Protocol: a\r\n",
     NULL, false},
    {START VERSION KEY "Sec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: ,b~1\r\n\r\n",
     "Sec-WebSocket-Protocol: b~1\r\n", NULL, false},
    {START VERSION KEY "Sec-WebSocket-Protocol: a b\r\n\r\n", "101 Switching",
     "Sec-WebSocket-Protocol", false},
    {START VERSION KEY "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "101 Switching",
     "Sec-WebSocket-Extensions", false},
    {START KEY "\r\n", "Sec-WebSocket-Version: 13\r\n", "101", true},
    {START KEY "Sec-WebSocket-Version: 8\r\n\r\n", "only version 13", "101", true},
    {START VERSION "\r\n", "Sec-WebSocket-Key", "101", true},
    {START VERSION "Sec-WebSocket-Key: short\r\n\r\n", "400", "101", true},
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "connect with a WebSocket client", "101", true},
    {"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" VERSION KEY
     "\r\n",
     "400", "101", true},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" VERSION KEY "\r\n",
     "400", "101", true},
};

static void test_handshake(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(handshakes) / sizeof(handshakes[0]); i++) {
        struct fixture f;
        struct raw r = {.half_close = true};
        begin(&f);
        raw_start(&r, &f, handshakes[i].send, strlen(handshakes[i].send));
        fixture_until(&f, &r.closed);
        assert_true(raw_has(&r, handshakes[i].has));
        assert_true(handshakes[i].hasnot == NULL || !raw_has(&r, handshakes[i].hasnot));
        assert_int_equal(seen.refused, handshakes[i].refused);
        if (!seen.refused) {
            fixture_until(&f, &seen.closed);
            assert_int_equal(seen.code, DT_WS_VANISHED);
        }
        end(&f, &r);
    }
}

/* The caller's choice among the offered ones. */
static void choose(void *ctx, struct dt_http_req *req)
{
    assert_null(dt_ws_offered(req, DT_STR("z")).p);
    assert_true(dt_str_eq(dt_ws_offered(req, DT_STR("v~")), DT_STR("v~0.190.1")));
    seen.opts.protocol = dt_ws_offered(req, DT_STR("exit"));
    handler(ctx, req);
}

static void test_choice_of_protocol(void **state)
{
    (void)state;
    static const char hello[] = START VERSION KEY "Sec-WebSocket-Protocol: secret~abc, exit\r\n"
                                                  "Sec-WebSocket-Protocol: v~0.190.1\r\n\r\n";
    struct fixture f;
    struct raw r = {.half_close = true};
    begin(&f);
    fixture_done(&f);
    fixture_init(&f, NULL, choose);
    raw_start(&r, &f, BYTES(hello));
    fixture_until(&f, &r.closed);
    assert_int_equal(raw_count(&r, "Sec-WebSocket-Protocol"), 1);
    assert_true(raw_has(&r, "Sec-WebSocket-Protocol: exit\r\n"));
    end(&f, &r);
}

/* --- messages and the ends of a connection --- */

static const struct talk {
    const char *send;
    size_t n;
    const char *messages;
    const char *has; /* in what the client gets */
    size_t nhas;
    int code;
} talks[] = {
    {BYTES("\x81\x82" MASK "ho\x88\x80" MASK), "Tho;", BYTES("\x81\x02ho\x88\x00"), 1005},
    {BYTES("\x82\x81" MASK "\xff\x88\x82" MASK "\x03\xe8"), "B\xff;",
     BYTES("\x82\x01\xff\x88\x02\x03\xe8"), 1000},
    /* a reason goes back with its code */
    {BYTES("\x88\x84" MASK "\x0f\xa8no"), "", BYTES("\x88\x04\x0f\xa8no"), 4008},
    /* parts, a ping between them; a character cut in two */
    {BYTES("\x01\x82" MASK "a\xc3\x89\x81" MASK "p\x00\x80" MASK "\x80\x81" MASK
           "\xa9\x88\x80" MASK),
     "Ta\xc3\xa9;", BYTES("\x8a\x01p"), 1005},
    /* a pong that nobody asked for */
    {BYTES("\x8a\x81" MASK "x\x81\x81" MASK "y\x88\x80" MASK), "Ty;", BYTES("\x81\x01y"), 1005},
    {BYTES("\x81\x80" MASK "\x88\x80" MASK), "T;", BYTES("\x81\x00"), 1005},
    /* our end: the client's answer follows; what it sends before is dropped */
    {BYTES("\x81\x83" MASK "bye\x81\x81" MASK "z\x88\x82" MASK "\x03\xf3"), "Tbye;",
     BYTES("\x88\x10\x03\xf3{\"exitCode\":3}"), 1011},
    {BYTES("\x81\x82" MASK "\xc3("), "", BYTES("\x03\xef"), 1007},
    {BYTES("\x01\x81" MASK "\xc3\x80\x81" MASK "("), "", BYTES("\x03\xef"), 1007},
    {BYTES("\x88\x83" MASK "\x03\xe8\xff"), "", BYTES("\x03\xef"), 1007},
    {BYTES("\x81\x02hi"), "", BYTES("\x03\xea"), 1002},
    {BYTES("\xc1\x80" MASK), "", BYTES("\x03\xea"), 1002},
    {BYTES("\x80\x81" MASK "x"), "", BYTES("\x03\xea"), 1002},
    {BYTES("\x01\x81" MASK "x\x81\x81" MASK "y"), "", BYTES("\x03\xea"), 1002},
    {BYTES("\x88\x81" MASK "\x03"), "", BYTES("\x03\xea"), 1002},
    {BYTES("\x88\x82" MASK "\x03\xed"), "", BYTES("\x03\xea"), 1002}, /* 1005 is never sent */
    {BYTES("\x88\x82" MASK "\x07\xd0"), "", BYTES("\x03\xea"), 1002}, /* 2000 means nothing */
    {BYTES("\x82\xfe\x10\x01" MASK), "", BYTES("\x03\xf1"), 1009},    /* 4097 bytes at once */
    {BYTES("\x89\xfe\x00\x7e" MASK), "", BYTES("\x03\xea"), 1002},
};

static void talk(const struct talk *t, bool slow, bool pause_each)
{
    struct fixture f;
    struct raw r = {.slow = slow};
    char send[512] = HELLO;
    size_t head = sizeof(HELLO) - 1;
    assert_true(head + t->n < sizeof(send));
    memcpy(send + head, t->send, t->n);
    begin(&f);
    seen.pause_each = pause_each;
    seen.opts.message_max = 4096;
    raw_start(&r, &f, send, head + t->n);
    fixture_until(&f, &r.closed);
    fixture_until(&f, &seen.closed);
    assert_string_equal(seen.messages.p != NULL ? seen.messages.p : "", t->messages);
    assert_non_null(memmem(r.in.p, r.in.n, t->has, t->nhas));
    assert_int_equal(seen.code, t->code);
    end(&f, &r);
}

static void test_talks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(talks) / sizeof(talks[0]); i++) {
        talk(&talks[i], false, false);
        talk(&talks[i], true, false);
        talk(&talks[i], false, true);
    }
}

/* Parts of which each is small enough. */
static void test_sum_of_parts_is_limited(void **state)
{
    (void)state;
    enum { PART = 1000 };
    struct fixture f;
    struct raw r = {0};
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 1 << 20);
    char zeros[PART] = {0};
    assert_int_equal(dt_buf_addz(&b, HELLO, NULL), 0);
    for (int i = 0; i < 5; i++) {
        const char head[8] = {i == 0 ? 2 : 0, (char)0xfe, PART >> 8, (char)(PART & 0xff)};
        assert_int_equal(dt_buf_add(&b, head, sizeof(head), NULL), 0);
        assert_int_equal(dt_buf_add(&b, zeros, sizeof(zeros), NULL), 0);
    }
    begin(&f);
    seen.opts.message_max = 4096;
    raw_start(&r, &f, b.p, b.n);
    fixture_until(&f, &seen.closed);
    assert_int_equal(seen.code, DT_WS_TOO_LARGE);
    assert_int_equal(seen.messages.n, 0);
    end(&f, &r);
}

static void test_group_ends_together(void **state)
{
    (void)state;
    struct fixture f;
    struct raw r = {0};
    char reason[200];
    memset(reason, 'x', sizeof(reason));
    memcpy(reason + DT_WS_REASON_MAX - 1, "\xc3\xa9", 2); /* would be cut in two */
    begin(&f);
    raw_start(&r, &f, BYTES(HELLO "\x81\x81" MASK "a"));
    while (!raw_has(&r, "\x81\x01"))
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    assert_int_equal(seen.group.count, 1);
    dt_ws_group_close(&seen.group, DT_WS_GOING_AWAY, dt_str(reason, sizeof(reason)));
    while (!raw_has(&r, "\x88\x7c\x03\xe9"))
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    (void)dt_conn_write(r.conn, BYTES("\x88\x82" MASK "\x03\xe9"));
    fixture_until(&f, &seen.closed);
    assert_int_equal(seen.code, DT_WS_GOING_AWAY);
    assert_int_equal(strlen(seen.reason), DT_WS_REASON_MAX - 1);
    end(&f, &r);
}

/* A client that answers no ping; it is asked each time, however late it is. */
static void test_vanished_client_is_found(void **state)
{
    (void)state;
    struct fixture f;
    struct raw r = {0};
    begin(&f);
    seen.opts.ping_ms = 20;
    raw_start(&r, &f, BYTES(HELLO));
    fixture_until(&f, &seen.closed);
    assert_int_equal(seen.code, DT_WS_VANISHED);
    fixture_until(&f, &r.closed);
    assert_non_null(memmem(r.in.p, r.in.n, "\x89\x00", 2));
    assert_int_equal(raw_count(&r, "\x89"), DT_WS_SILENT_PINGS);
    end(&f, &r);
}

/* Whoever reads nothing does not grow our memory, and is told why in the end. */
static void test_slow_consumer(void **state)
{
    (void)state;
    struct fixture f;
    struct raw r = {0};
    char block[16384];
    memset(block, 'b', sizeof(block));
    begin(&f);
    raw_start(&r, &f, BYTES(HELLO "\x81\x81" MASK "a"));
    while (!raw_has(&r, "\x81\x01"))
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    dt_conn_pause(r.conn);
    while (dt_ws_conn_send(seen.w, DT_WS_BINARY, dt_str(block, sizeof(block))))
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_true(dt_ws_conn_queued(seen.w) > DT_CONN_HIGH_MARK);
    dt_conn_resume(r.conn);
    fixture_until(&f, &seen.drained);
    assert_true(dt_ws_conn_queued(seen.w) <= DT_CONN_LOW_MARK);

    /* Pings while the queue is full: only the last is answered, behind the queue. */
    dt_conn_pause(r.conn);
    seen.drained = false;
    while (dt_ws_conn_send(seen.w, DT_WS_BINARY, dt_str(block, sizeof(block))))
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    size_t queued = dt_ws_conn_queued(seen.w);
    (void)dt_conn_write(r.conn, BYTES("\x89\x82" MASK "p1\x89\x82" MASK "p2\x81\x84" MASK "last"));
    seen.echo = false;
    while (seen.messages.n == 0 || memmem(seen.messages.p, seen.messages.n, "last", 4) == NULL)
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    assert_true(dt_ws_conn_queued(seen.w) <= queued);
    dt_conn_resume(r.conn);
    fixture_until(&f, &seen.drained);
    while (!raw_has(&r, "\x8a\x02p2"))
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    assert_false(raw_has(&r, "\x8a\x02p1"));

    dt_conn_pause(r.conn);
    for (size_t sent = 0; sent < (size_t)32 << 20; sent += sizeof(block)) {
        (void)dt_ws_conn_send(seen.w, DT_WS_BINARY, dt_str(block, sizeof(block)));
        assert_true(dt_ws_conn_queued(seen.w) <= DT_WS_QUEUE_MAX + (size_t)256);
    }
    dt_conn_resume(r.conn);
    while (!raw_has(&r, "\x03\xf0slow consumer"))
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    dt_conn_close(r.conn);
    fixture_until(&f, &seen.closed);
    assert_int_equal(seen.code, DT_WS_POLICY);
    end(&f, &r);
}

/* What is paused waits, and is neither lost nor counted as silence. */
static void test_pause(void **state)
{
    (void)state;
    struct fixture f;
    struct raw r = {0};
    begin(&f);
    seen.opts.ping_ms = 10;
    seen.pause_once = true;
    raw_start(&r, &f, BYTES(HELLO "\x81\x81" MASK "a"));
    while (!raw_has(&r, "\x81\x01"))
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    (void)dt_conn_write(r.conn, BYTES("\x81\x81" MASK "b\x81\x83" MASK "bye"));
    uint64_t until = uv_now(&f.loop) + 100;
    while (uv_now(&f.loop) < until)
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    assert_false(seen.closed);
    assert_string_equal(seen.messages.p, "Ta;");
    dt_ws_conn_resume(seen.w);
    while (!raw_has(&r, "exitCode"))
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    assert_string_equal(seen.messages.p, "Ta;Tb;Tbye;");
    dt_conn_close(r.conn);
    fixture_until(&f, &seen.closed);
    assert_int_equal(seen.code, DT_WS_FAILURE);
    end(&f, &r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_choice_of_protocol),
        cmocka_unit_test(test_talks),
        cmocka_unit_test(test_sum_of_parts_is_limited),
        cmocka_unit_test(test_group_ends_together),
        cmocka_unit_test(test_vanished_client_is_found),
        cmocka_unit_test(test_slow_consumer),
        cmocka_unit_test(test_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
