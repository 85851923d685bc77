#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/glob.h"

static void test_matches(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool want;
    } rows[] = {
        {"*", "", true},
        {"*", "anything", true},
        {"*.c", "main.c", true},
        {"*.c", "main.cc", false},
        {"*.c", ".c", true},
        {"a*b*c", "aXbYbZc", true},
        {"a*b*c", "aXbYbZ", false},
        {"?", "x", true},
        {"?", "", false},
        {"?", "\xc3\xa9", true},
        {"??", "\xc3\xa9", false},
        {"?", "\xff", true},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[^a-c]x", "dx", true},
        {"[!a-c]x", "bx", false},
        {"[\\]]", "]", true},
        {"[a\\-z]", "-", true},
        {"[a\\-z]", "m", false},
        {"[\xc3\xa0-\xc3\xbf]", "\xc3\xa9", true},
        {"[a-]", "-", true},
        {"\\*", "*", true},
        {"\\*", "x", false},
        {"**", "a/b", true},
        {"", "", true},
        {"", "x", false},
        {"README*", "readme", false},
        {"[[]", "[", true},
        {"x]", "x]", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(dt_glob_check(dt_str_z(rows[i].pattern), NULL), 0);
        if (dt_glob_match(dt_str_z(rows[i].pattern), dt_str_z(rows[i].name)) != rows[i].want)
            fail_msg("'%s' and '%s'", rows[i].pattern, rows[i].name);
    }
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const rows[] = {"[",   "[a",    "[a-",  "[]", "[^]",
                                       "a\\", "[z-a]", "x[\\", "[]a"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_err err = {.code = DT_OK};
        if (dt_glob_check(dt_str_z(rows[i]), &err) == 0)
            fail_msg("'%s' was accepted", rows[i]);
        assert_int_equal(err.code, DT_E_BAD_REQUEST);
    }
}

/* The classic of exponential matchers. */
static void test_many_stars_end(void **state)
{
    (void)state;
    static const char pattern[] = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
    char name[256];
    memset(name, 'a', sizeof(name));
    assert_false(dt_glob_match(dt_str_z(pattern), dt_str(name, sizeof(name))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_many_stars_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
