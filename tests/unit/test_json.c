#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "json/json.h"

static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",         "{",   "{\"a\":1,\"a\":2}",    "[1,]",
                                        "\"\xff\"", "nul", "99999999999999999999", "[[[[[1]]]]]",
                                        "{} x"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct dt_err err = {0};
        assert_null(dt_json_parse(dt_str_z(texts[i]), 4, &err));
        assert_int_equal(err.code, DT_E_INVALID);
    }
}

static void test_depth_ignores_strings(void **state)
{
    (void)state;
    DT_AUTO_JSON json_t *j = dt_json_parse(DT_STR("[\"[[[[[\\\"[[[\",[1]]"), 2, NULL);
    assert_non_null(j);
}

static void test_write_respects_the_limit(void **state)
{
    (void)state;
    DT_AUTO_JSON json_t *j = dt_json_parse(DT_STR("{\"a\":\"b\\u0000c\"}"), 4, NULL);
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 64);
    assert_int_equal(dt_json_write(j, &b, NULL), 0);
    assert_string_equal(b.p, "{\"a\":\"b\\u0000c\"}");
    DT_AUTO_BUF struct dt_buf small;
    dt_buf_init(&small, 5);
    struct dt_err err;
    assert_int_equal(dt_json_write(j, &small, &err), -1);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_depth_ignores_strings),
        cmocka_unit_test(test_write_respects_the_limit),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
