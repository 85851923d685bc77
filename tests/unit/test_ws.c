#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/ws.h"

#define BYTES(z) (z), sizeof(z) - 1

static void test_accept(void **state)
{
    (void)state;
    char out[DT_WS_ACCEPT_SIZE];
    /* RFC 6455 section 1.3 */
    assert_int_equal(dt_ws_accept(DT_STR("dGhlIHNhbXBsZSBub25jZQ=="), out, NULL), 0);
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    static const char *const bad[] = {"", "dGhlIHNhbXBsZSBub25jZQ", "x",
                                      "dGhlIHNhbXBsZSBub25jZQ==x", "dGhlIHNhbXBsZSBub25jZQ=!"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(dt_ws_accept(dt_str_z(bad[i]), out, NULL), -1);
}

static void test_take(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t n;
        ssize_t used;
        enum dt_ws_opcode opcode;
        const char *payload;
    } cases[] = {
        {BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), 11, DT_WS_TEXT, "Hello"},
        {BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58more"), 11, DT_WS_TEXT, "Hello"},
        {BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51"), 0, 0, NULL},
        {BYTES("\x89\x80\x01\x02\x03\x04"), 6, DT_WS_PING, ""},
        {BYTES("\x82\xfe\x00\x02\x00\x00\x00\x00hi"), 10, DT_WS_BINARY, "hi"},
        {BYTES("\x81"), 0, 0, NULL},
        {BYTES("\x81\xfe\x00"), 0, 0, NULL},
        {BYTES("\x81\x05Hello"), -1, 0, NULL},                    /* not masked */
        {BYTES("\xc1\x80\x00\x00\x00\x00"), -1, 0, NULL},         /* an extension's bit */
        {BYTES("\x83\x80\x00\x00\x00\x00"), -1, 0, NULL},         /* unknown */
        {BYTES("\x8b\x80\x00\x00\x00\x00"), -1, 0, NULL},         /* unknown control */
        {BYTES("\x09\x80\x00\x00\x00\x00"), -1, 0, NULL},         /* a ping in parts */
        {BYTES("\x89\xfe\x00\x7e\x00\x00\x00\x00"), -1, 0, NULL}, /* a long ping */
        {BYTES("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff____"), -1, 0, NULL}, /* larger than max */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char in[64];
        struct dt_ws_frame f;
        memcpy(in, cases[i].in, cases[i].n);
        assert_int_equal(dt_ws_take(in, cases[i].n, 100, &f, NULL), cases[i].used);
        if (cases[i].used <= 0)
            continue;
        assert_int_equal(f.opcode, cases[i].opcode);
        assert_true(f.final && dt_str_eq(f.payload, dt_str_z(cases[i].payload)));
    }
}

static void test_put(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        const char *head;
        size_t head_n;
    } cases[] = {
        {0, BYTES("\x81\x00")},
        {125, BYTES("\x81\x7d")},
        {126, BYTES("\x81\x7e\x00\x7e")},
        {65535, BYTES("\x81\x7e\xff\xff")},
        {65536, BYTES("\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00")},
    };
    static const char payload[65536] = "x";
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        DT_AUTO_BUF struct dt_buf b;
        dt_buf_init(&b, sizeof(payload) + 100);
        assert_int_equal(dt_ws_put(&b, DT_WS_TEXT, dt_str(payload, cases[i].n), NULL), 0);
        assert_int_equal(b.n, cases[i].head_n + cases[i].n);
        assert_memory_equal(b.p, cases[i].head, cases[i].head_n);
        assert_memory_equal(b.p + cases[i].head_n, payload, cases[i].n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
