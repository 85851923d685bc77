#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/git_pathspec.h"

static void test_make(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool repaired;
        const char *want;
    } rows[] = {
        {".", false, ":(literal)."},
        {"*[?", false, ":(literal)*[?"},
        {":(top)x", false, ":(literal):(top)x"},
        {"caf\xef\xbf\xbd.c", true, ":(glob)caf[\x80-\xff].c"},
        {"a*\\\xef\xbf\xbd\xef\xbf\xbd", true, ":(glob)a\\*\\\\[\x80-\xff][\x80-\xff]"},
        {"\xef\xbf", true, ":(glob)\xef\xbf"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        DT_AUTO_FREE char *spec = dt_git_pathspec_make(rows[i].name, rows[i].repaired);
        assert_string_equal(spec, rows[i].want);
    }
}

static void test_add(void **state)
{
    (void)state;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    struct dt_err err;
    DT_AUTO_JSON json_t *files = json_pack("[s,s]", "one", "no-such\xef\xbf\xbd");
    dt_git_args_add(&a, "add", NULL);
    assert_int_equal(dt_git_pathspec_add(&a, "/", files, &err), 0);
    assert_int_equal(a.n, 4);
    assert_string_equal(a.v[1], "--");
    assert_string_equal(a.v[2], ":(literal)one");
    assert_string_equal(a.v[3], ":(glob)no-such[\x80-\xff]");
    assert_null(a.v[4]);
    DT_AUTO_JSON json_t *bad = json_array();
    assert_int_equal(json_array_append_new(bad, json_stringn("a\0b", 3)), 0);
    assert_int_equal(dt_git_pathspec_add(&a, "/", bad, &err), -1);
    assert_int_equal(err.code, DT_E_INVALID_FILE_PATH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_add),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
