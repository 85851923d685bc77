#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/socketio.h"

static void test_read(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum dt_socketio_type type;
        const char *space;
        int64_t id; /* -1: none */
        const char *data;
    } cases[] = {
        {"1", DT_SOCKETIO_CLOSE, "/", -1, NULL},
        {"2", DT_SOCKETIO_PING, "/", -1, NULL},
        {"2probe", DT_SOCKETIO_PING, "/", -1, NULL},
        {"3", DT_SOCKETIO_PONG, "/", -1, NULL},
        {"5", DT_SOCKETIO_NOTHING, "/", -1, NULL},
        {"6", DT_SOCKETIO_NOTHING, "/", -1, NULL},
        {"40", DT_SOCKETIO_CONNECT, "/", -1, NULL},
        {"40{\"token\":\"a\"}", DT_SOCKETIO_CONNECT, "/", -1, "{\"token\":\"a\"}"},
        {"40/admin,", DT_SOCKETIO_CONNECT, "/admin", -1, NULL},
        {"40/admin", DT_SOCKETIO_CONNECT, "/admin", -1, NULL},
        {"40/admin?a=b,{}", DT_SOCKETIO_CONNECT, "/admin", -1, "{}"},
        {"41", DT_SOCKETIO_DISCONNECT, "/", -1, NULL},
        {"41/admin,", DT_SOCKETIO_DISCONNECT, "/admin", -1, NULL},
        {"42[\"a\",1]", DT_SOCKETIO_EVENT, "/", -1, "[\"a\",1]"},
        {"4212[\"a\"]", DT_SOCKETIO_EVENT, "/", 12, "[\"a\"]"},
        {"42/x,12[\"a\"]", DT_SOCKETIO_EVENT, "/x", 12, "[\"a\"]"},
        {"437[]", DT_SOCKETIO_ACK, "/", 7, "[]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dt_socketio_packet p;
        DT_AUTO_BUF struct dt_buf b;
        dt_buf_init(&b, 1000);
        assert_int_equal(dt_socketio_read(dt_str_z(cases[i].in), &p, NULL), 0);
        assert_int_equal(p.type, cases[i].type);
        assert_true(dt_str_eq(p.space, dt_str_z(cases[i].space)));
        assert_int_equal(p.has_id ? (int64_t)p.id : -1, cases[i].id);
        assert_int_equal(p.data == NULL, cases[i].data == NULL);
        if (p.data != NULL) {
            assert_int_equal(dt_json_write(p.data, &b, NULL), 0);
            assert_true(dt_str_eq(dt_buf_str(&b), dt_str_z(cases[i].data)));
        }
        dt_socketio_done(&p);
    }
}

static void test_refuse(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "0{}",
        "7",
        "x",
        "4",
        "44{}",
        "45-[\"a\"]",
        "451-[\"a\"]",
        "461-1[]",
        "47",
        "40[]",
        "40{",
        "401{}",
        "40{}x",
        "41{}",
        "42",
        "42{}",
        "42[]",
        "42[1]",
        "43[]",
        "431",
        "4299999999999[\"a\"]",
        "42[\"a\",\"\xff\"]",
        "42/x[\"a\"]",
        "42[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]",
    };
    struct dt_socketio_packet p;
    struct dt_err err;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(dt_socketio_read(dt_str_z(bad[i]), &p, &err), -1);
    char space[DT_SOCKETIO_NAMESPACE_MAX + 4] = "40/";
    memset(space + 3, 'x', sizeof(space) - 3);
    assert_int_equal(dt_socketio_read(dt_str(space, sizeof(space)), &p, &err), -1);
    assert_int_equal(dt_socketio_read(dt_str(space, sizeof(space) - 2), &p, &err), 0);
}

static void expect(struct dt_buf *b, const char *text)
{
    assert_true(dt_str_eq(dt_buf_str(b), dt_str_z(text)));
    dt_buf_clear(b);
}

static void test_put(void **state)
{
    (void)state;
    const struct dt_socketio_open open = {"s1", 25000, 20000, 1000};
    DT_AUTO_JSON json_t *data = json_pack("{s:i}", "n", 1);
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 200);
    assert_int_equal(dt_socketio_put_open(&b, &open, NULL), 0);
    expect(&b, "0{\"sid\":\"s1\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,"
               "\"maxPayload\":1000}");
    assert_int_equal(dt_socketio_put_connected(&b, "s2", NULL), 0);
    expect(&b, "40{\"sid\":\"s2\"}");
    assert_int_equal(dt_socketio_put_refused(&b, DT_STR("/"), "no \"key\"", NULL), 0);
    expect(&b, "44{\"message\":\"no \\\"key\\\"\"}");
    assert_int_equal(dt_socketio_put_refused(&b, DT_STR("/a"), "no", NULL), 0);
    expect(&b, "44/a,{\"message\":\"no\"}");
    assert_int_equal(dt_socketio_put_event(&b, "a.b", data, NULL), 0);
    expect(&b, "42[\"a.b\",{\"n\":1}]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
