#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runnerd/audit/mask.h"

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", ""},
        {"echo hi", "echo hi"},
        {"https://h/a", "https://h/a"},
        {"https://u:p@h/a", "https://********@h/a"},
        {"git clone https://u:p@x@h/a && curl ftp://k@h",
         "git clone https://********@h/a && curl ftp://********@h"},
        {"see https://h/a@b and me@h", "see https://h/a@b and me@h"},
        {"'https://h' u:p@h", "'https://h' u:p@h"},
        {"https://h?to=a@b", "https://h?to=a@b"},
        {"://", "://"},
        {"a://://u@h", "a://://********@h"},
        {"ünï https://ü:ï@h", "ünï https://********@h"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        DT_AUTO_BUF struct dt_buf b;
        dt_buf_init(&b, 4096);
        assert_int_equal(dt_mask_text(dt_str_z(rows[i].text), &b, NULL), 0);
        assert_string_equal(b.p != NULL ? b.p : "", rows[i].want);
    }
}

static void test_long_texts(void **state)
{
    (void)state;
    char text[DT_MASK_TEXT_MAX + 10];
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 2 * sizeof(text));
    memset(text, 'x', sizeof(text));
    memcpy(text + DT_MASK_TEXT_MAX - 1, "ü", 2); /* in two, if it were cut there */
    assert_int_equal(dt_mask_text(dt_str(text, sizeof(text)), &b, NULL), 0);
    assert_memory_equal(b.p, text, DT_MASK_TEXT_MAX - 1);
    assert_string_equal(b.p + DT_MASK_TEXT_MAX - 1, " (11 bytes more)");
}

static void test_trees(void **state)
{
    (void)state;
    DT_AUTO_JSON json_t *tree = dt_json_parse(
        DT_STR("{\"http://u@h\": [\"http://u@h\", 1, {\"a\": \"http://u@h\\u0000\"}]}"), 8, NULL);
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 4096);
    assert_int_equal(dt_mask_tree(tree, NULL), 0);
    assert_int_equal(dt_json_write(tree, &b, NULL), 0);
    assert_string_equal(b.p, "{\"http://u@h\":[\"http://********@h\",1,"
                             "{\"a\":\"http://********@h\\u0000\"}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_trees),
    };
    return cmocka_run_group_tests_name("mask", tests, NULL, NULL);
}
