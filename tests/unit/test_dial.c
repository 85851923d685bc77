/* Connections over sockets that come from elsewhere, and the bounds on those kept idle. */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "net_fixture.h"

#include "net/http_client.h"

/* --- a source of sockets --- */

enum how { AT_ONCE, LATER, REFUSES, REFUSES_IPV6, NEVER };

struct source {
    struct dt_socket_source base;
    enum how how;
    uv_timer_t timer;
    struct dt_socket_wait *waiting;
    unsigned asked, asked6, cancelled;
};

static int new_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

static void on_later(uv_timer_t *t)
{
    struct source *s = t->data;
    struct dt_socket_wait *w = dt_take(s->waiting);
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_CONFLICT, "no sockets today");
    if (s->how == LATER)
        w->done(w, new_socket(w->family), NULL);
    else
        w->done(w, -1, &err);
}

static int take(struct dt_socket_source *base, struct dt_socket_wait *w)
{
    struct source *s = (struct source *)base;
    s->asked++;
    s->asked6 += w->family == AF_INET6;
    if (s->how == AT_ONCE || (s->how == REFUSES_IPV6 && w->family == AF_INET))
        return new_socket(w->family);
    assert_null(s->waiting);
    s->waiting = w;
    if (s->how != NEVER)
        (void)uv_timer_start(&s->timer, on_later, 1, 0);
    return -1;
}

static void cancel(struct dt_socket_source *base, struct dt_socket_wait *w)
{
    struct source *s = (struct source *)base;
    assert_ptr_equal(s->waiting, w);
    s->waiting = NULL;
    s->cancelled++;
    (void)uv_timer_stop(&s->timer);
}

static void source_init(struct source *s, struct fixture *f, enum how how)
{
    *s = (struct source){.base = {take, cancel}, .how = how};
    (void)uv_timer_init(&f->loop, &s->timer);
    s->timer.data = s;
}

/* --- exchanges over it --- */

struct result {
    bool done;
    int status;
    struct dt_err err;
};

static void on_fetched(void *ctx, const struct dt_http_reply *reply, const struct dt_err *err)
{
    struct result *x = ctx;
    x->done = true;
    x->status = reply != NULL ? reply->status : 0;
    if (err != NULL)
        x->err = *err;
}

static void hello(void *ctx, struct dt_http_req *r)
{
    (void)ctx;
    dt_http_req_reply(r, 200, NULL, "hello", 5);
}

static struct dt_http_client *client_for(struct fixture *f, struct source *s, uint16_t port)
{
    struct dt_addr addr = {.host = "localhost", .port = port, .sockets = &s->base};
    struct dt_http_client *c;
    struct dt_err err;
    assert_int_equal(dt_http_client_new(&f->loop, &addr, 4, &c, &err), 0);
    return c;
}

static void fetch(struct dt_http_client *c, struct result *x)
{
    const struct dt_http_call_opts o = {.method = "GET", .target = DT_STR("/")};
    struct dt_http_call *call;
    struct dt_err err;
    assert_int_equal(dt_http_fetch(c, &o, 100, on_fetched, x, &call, &err), 0);
    assert_false(x->done);
}

static void finish(struct fixture *f, struct source *s, struct dt_http_client *c)
{
    (void)dt_http_client_free(c);
    uv_close((uv_handle_t *)&s->timer, NULL);
    fixture_done(f);
    assert_null(s->waiting);
}

static void test_sockets_at_once_and_later(void **state)
{
    (void)state;
    for (enum how how = AT_ONCE; how <= LATER; how++) {
        struct fixture f;
        struct source s;
        fixture_init(&f, NULL, hello);
        source_init(&s, &f, how);
        struct dt_http_client *c = client_for(&f, &s, f.port);
        for (int i = 0; i < 2; i++) {
            struct result x = {0};
            fetch(c, &x);
            fixture_until(&f, &x.done);
            assert_int_equal(x.status, 200);
        }
        assert_int_equal(s.asked, 1); /* the second call found a kept connection */
        assert_int_equal(s.asked6, 0);
        finish(&f, &s, c);
    }
}

static void test_ipv6_when_ipv4_is_refused(void **state)
{
    (void)state;
    for (enum how how = AT_ONCE; how <= LATER; how++) {
        struct fixture f;
        struct source s;
        struct result x = {0};
        struct dt_err err;
        uint16_t port;
        fixture_init(&f, NULL, hello);
        assert_int_equal(dt_http_server_listen_tcp(f.server, "::1", 0, &port, &err), 0);
        source_init(&s, &f, how);
        struct dt_http_client *c = client_for(&f, &s, port);
        fetch(c, &x);
        fixture_until(&f, &x.done);
        assert_int_equal(x.status, 200);
        assert_int_equal(s.asked, 2);
        assert_int_equal(s.asked6, 1);
        finish(&f, &s, c);
    }
}

/* What says most is told: a refused connection more than a socket that there is not. */
static void test_no_sockets(void **state)
{
    (void)state;
    static const struct {
        enum how how;
        enum dt_err_code code;
        int error;
        const char *text;
    } rows[] = {
        {AT_ONCE, DT_E_UNREACHABLE, ECONNREFUSED, "connect to localhost port 1"},
        {REFUSES, DT_E_CONFLICT, 0, "no sockets today"},
        {REFUSES_IPV6, DT_E_UNREACHABLE, ECONNREFUSED, "connect to localhost port 1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        struct source s;
        struct result x = {0};
        fixture_init(&f, NULL, hello);
        source_init(&s, &f, rows[i].how);
        struct dt_http_client *c = client_for(&f, &s, 1);
        fetch(c, &x);
        fixture_until(&f, &x.done);
        assert_int_equal(x.err.code, rows[i].code);
        assert_int_equal(x.err.sys_errno, rows[i].error);
        assert_non_null(strstr(x.err.msg, rows[i].text));
        finish(&f, &s, c);
    }
}

static void test_nobody_waits_any_more(void **state)
{
    (void)state;
    struct fixture f;
    struct source s;
    struct result x = {0};
    fixture_init(&f, NULL, hello);
    source_init(&s, &f, NEVER);
    struct dt_http_client *c = client_for(&f, &s, f.port);
    fetch(c, &x);
    while (s.asked == 0)
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    c = dt_http_client_free(c);
    assert_int_equal(s.cancelled, 1); /* at once: the source may go as well */
    fixture_until(&f, &x.done);
    assert_int_equal(x.err.code, DT_E_CANCELLED);
    finish(&f, &s, c);
}

/* --- bounds --- */

static void test_idle_connections_are_bounded(void **state)
{
    (void)state;
    struct fixture f;
    struct source s;
    struct dt_http_idle all = {.max = 3}, some = {.in = &all, .max = 2};
    struct dt_http_client *c[3];
    struct result x[6] = {0};
    fixture_init(&f, NULL, hello);
    source_init(&s, &f, AT_ONCE);
    for (int i = 0; i < 3; i++) {
        c[i] = client_for(&f, &s, f.port);
        dt_http_client_bound(c[i], 60000, i < 2 ? &some : &all);
    }
    for (int i = 0; i < 4; i++)
        fetch(c[i / 2], &x[i]);
    for (int i = 0; i < 4; i++)
        fixture_until(&f, &x[i].done);
    assert_int_equal(some.n, 2);
    assert_int_equal(all.n, 2);
    for (int i = 4; i < 6; i++)
        fetch(c[2], &x[i]);
    for (int i = 4; i < 6; i++)
        fixture_until(&f, &x[i].done);
    assert_int_equal(s.asked, 6);
    assert_int_equal(some.n, 2);
    assert_int_equal(all.n, 3);
    c[2] = dt_http_client_free(c[2]);
    assert_int_equal(all.n, 2);
    c[0] = dt_http_client_free(c[0]);
    c[1] = dt_http_client_free(c[1]);
    assert_int_equal(some.n, 0); /* at once: the bounds may go as well */
    assert_int_equal(all.n, 0);
    finish(&f, &s, NULL);
}

/* False: its time was over before it was seen, which on a busy machine a longer one is not. */
static bool does_not_stay(uint64_t ms)
{
    struct fixture f;
    struct source s;
    struct dt_http_idle all = {.max = 3};
    struct result x = {0};
    fixture_init(&f, NULL, hello);
    source_init(&s, &f, AT_ONCE);
    struct dt_http_client *c = client_for(&f, &s, f.port);
    dt_http_client_bound(c, ms, &all);
    fetch(c, &x);
    fixture_until(&f, &x.done);
    bool seen = all.n == 1;
    while (all.n > 0 && !f.late)
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    assert_false(f.late);
    finish(&f, &s, c);
    return seen;
}

static void test_idle_connections_do_not_stay(void **state)
{
    (void)state;
    bool seen = false;
    for (uint64_t ms = 20; !seen && ms < 20000; ms *= 5)
        seen = does_not_stay(ms);
    assert_true(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sockets_at_once_and_later),
        cmocka_unit_test(test_ipv6_when_ipv4_is_refused),
        cmocka_unit_test(test_no_sockets),
        cmocka_unit_test(test_nobody_waits_any_more),
        cmocka_unit_test(test_idle_connections_are_bounded),
        cmocka_unit_test(test_idle_connections_do_not_stay),
    };
    return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
