#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/edit.h"

static void test_edits(void **state)
{
    (void)state;
    static const struct {
        const char *text, *old_text, *new_text, *want; /* NULL: refused */
        bool all;
        size_t count;
        const char *why;
    } rows[] = {
        {"abc", "b", "x", "axc", false, 1, NULL},
        {"abc", "abc", "", "", false, 1, NULL},
        {"abc", "c", "cc", "abcc", false, 1, NULL},
        {"abc", "a", "aa", "aabc", true, 1, NULL},
        {"aXbX", "X", "YX", "aYXbYX", true, 2, NULL},
        {"aaaa", "aa", "b", "bb", true, 2, NULL},
        {"aaa", "aa", "b", "ba", false, 1, NULL},
        {"", "a", "b", NULL, false, 0, "not there"},
        {"abc", "abcd", "b", NULL, true, 0, "not there"},
        {"a\nb\n", "a\r\nb", "c", NULL, false, 0, "not there; it must be exactly"},
        {"x\r\na\r\nb\r\n", "a\nb", "c", NULL, false, 0, "end with CR LF"},
        {"x\n\nx\ny x\n", "x", "z", NULL, false, 0, "3 times, in lines 1, 3, 4"},
        {"x\nx\nx\nx\nx\nx\n", "x", "z", NULL, false, 0, "6 times, in lines 1, 2, 3, 4, 5, ..."},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        DT_AUTO_BUF struct dt_buf out;
        struct dt_err err;
        size_t count = 0;
        const struct dt_edit e = {dt_str_z(rows[i].old_text), dt_str_z(rows[i].new_text),
                                  rows[i].all};
        dt_buf_init(&out, 64);
        int r = dt_edit_apply(&e, dt_str_z(rows[i].text), &out, &count, &err);
        assert_int_equal(r, rows[i].want != NULL ? 0 : -1);
        assert_int_equal(count, rows[i].count);
        if (r == 0)
            assert_string_equal(out.p != NULL ? out.p : "", rows[i].want);
        else
            assert_non_null(strstr(err.msg, rows[i].why));
        if (r < 0)
            assert_int_equal(err.code, DT_E_CONFLICT);
    }
}

static void test_bytes(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf out;
    size_t count;
    const struct dt_edit e = {dt_str("\0\xff", 2), dt_str("\0", 1), false};
    dt_buf_init(&out, 64);
    assert_int_equal(dt_edit_apply(&e, dt_str("a\0\xff\0b", 5), &out, &count, NULL), 0);
    assert_int_equal(out.n, 4);
    assert_memory_equal(out.p, "a\0\0b", 4);
}

static void test_too_large(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf out;
    struct dt_err err;
    size_t count;
    const struct dt_edit e = {DT_STR("a"), DT_STR("0123456789"), true};
    dt_buf_init(&out, 25);
    assert_int_equal(dt_edit_apply(&e, DT_STR("aaa"), &out, &count, &err), -1);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
