#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "toolbox/scrollback.h"

static void add(struct dt_scrollback *s, const char *p, size_t n)
{
    assert_int_equal(dt_scrollback_add(s, p, n, NULL), 0);
}

static void test_little_is_kept_whole(void **state)
{
    (void)state;
    struct dt_scrollback s;
    dt_scrollback_init(&s);
    assert_int_equal(dt_scrollback_last(&s).n, 0);
    add(&s, "no line end", 11);
    assert_true(dt_str_eq(dt_scrollback_last(&s), DT_STR("no line end")));
    add(&s, "\nmore", 5);
    assert_true(dt_str_eq(dt_scrollback_last(&s), DT_STR("no line end\nmore")));
    dt_scrollback_done(&s);
}

/* Whatever the pieces: the end is exact, a beginning is a line's, and it is as much as promised. */
static void test_the_last_lines_are_kept(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 4095, 16384, DT_SCROLLBACK_MAX};
    static char all[5 * DT_SCROLLBACK_MAX + 16];
    size_t n = 0;
    for (int i = 0; n + 16 < sizeof(all); i++)
        n += (size_t)snprintf(all + n, sizeof(all) - n, "line %08d\n", i);
    for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
        struct dt_scrollback s;
        dt_scrollback_init(&s);
        for (size_t at = 0; at < n; at += pieces[k])
            add(&s, all + at, n - at < pieces[k] ? n - at : pieces[k]);
        struct dt_str last = dt_scrollback_last(&s);
        assert_true(last.n <= DT_SCROLLBACK_MAX && last.n > DT_SCROLLBACK_MAX - 14);
        assert_memory_equal(last.p, "line ", 5);
        assert_memory_equal(last.p, all + n - last.n, last.n);
        dt_scrollback_done(&s);
    }
}

/* One line without an end has no better place to begin. */
static void test_a_line_without_end(void **state)
{
    (void)state;
    char x[1000];
    struct dt_scrollback s;
    memset(x, 'x', sizeof(x));
    dt_scrollback_init(&s);
    for (int i = 0; i < 1000; i++)
        add(&s, x, sizeof(x));
    assert_int_equal(dt_scrollback_last(&s).n, DT_SCROLLBACK_MAX);
    dt_scrollback_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_little_is_kept_whole),
        cmocka_unit_test(test_the_last_lines_are_kept),
        cmocka_unit_test(test_a_line_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
