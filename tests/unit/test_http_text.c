#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/http_server.h"

static void test_reason(void **state)
{
    (void)state;
    assert_string_equal(dt_http_reason(200), "OK");
    assert_string_equal(dt_http_reason(431), "Request Header Fields Too Large");
    assert_string_equal(dt_http_reason(799), "Unknown");
}

static void test_query_get(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        const char *name;
        int found;
        const char *value;
    } cases[] = {
        {"a=1", "a", 1, "1"},
        {"a=1&b=2", "b", 1, "2"},
        {"a=1&a=2", "a", 1, "1"},
        {"a", "a", 1, ""},
        {"a=", "a", 1, ""},
        {"", "a", 0, ""},
        {"ab=1", "a", 0, ""},
        {"a=1", "ab", 0, ""},
        {"a=b=c", "a", 1, "b=c"},
        {"x=1&path=%2Ftmp%2Fa+b%2B", "path", 1, "/tmp/a b+"},
        {"p%61th=x", "path", 1, "x"},
        {"a=%C3%BC", "a", 1, "\xc3\xbc"},
        {"a=%", "a", -1, ""},
        {"a=%4", "a", -1, ""},
        {"a=%zz", "a", -1, ""},
        {"a=%00", "a", -1, ""},
        {"a=12345678901234567", "a", -1, ""},
        {"b=%zz&a=1", "a", 1, "1"},
        {"%zz=1&a=1", "a", 1, "1"},
        {"&&a=1&", "a", 1, "1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        DT_AUTO_BUF struct dt_buf out;
        struct dt_err err;
        dt_buf_init(&out, 16);
        int found = dt_http_query_get(dt_str_z(cases[i].query), cases[i].name, &out, &err);
        if (found != cases[i].found)
            fail_msg("'%s': %d", cases[i].query, found);
        assert_true(dt_str_eq(dt_buf_str(&out), dt_str_z(cases[i].value)));
    }
}

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out; /* NULL: an error */
    } cases[] = {
        {"", ""},         {"abc", "abc"}, {"a%20b", "a b"}, {"a+b", "a+b"},
        {"%2e%2E", ".."}, {"%", NULL},    {"%1", NULL},     {"%g0", NULL},
        {"a%00b", NULL},  {"%-1", NULL},  {"%ff", "\xff"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        DT_AUTO_BUF struct dt_buf out;
        struct dt_err err;
        dt_buf_init(&out, 64);
        assert_int_equal(dt_buf_addz(&out, "<", &err), 0);
        int r = dt_http_decode(dt_str_z(cases[i].in), &out, &err);
        assert_int_equal(r, cases[i].out != NULL ? 0 : -1);
        if (r < 0) {
            assert_int_equal(err.code, DT_E_INVALID);
            assert_int_equal(out.n, 1);
        } else {
            assert_string_equal(out.p + 1, cases[i].out);
        }
    }
}

static void test_encode(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf out;
    struct dt_err err;
    dt_buf_init(&out, 32);
    assert_int_equal(dt_http_encode(DT_STR("aZ9-._~ /%\xc3\x00"), &out, &err), 0);
    assert_string_equal(out.p, "aZ9-._~%20%2F%25%C3%00");
    assert_int_equal(dt_http_encode(DT_STR("                "), &out, &err), -1);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
    assert_string_equal(out.p, "aZ9-._~%20%2F%25%C3%00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reason),
        cmocka_unit_test(test_query_get),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_encode),
    };
    return cmocka_run_group_tests_name("http_text", tests, NULL, NULL);
}
