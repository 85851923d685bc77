#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "toolbox/guest.h"
#include "toolbox/shell.h"

static void test_legacy(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        const char *inner; /* NULL: a real shell runs it as it is */
    } rows[] = {
        {"sh -c \"echo 'bHM=' | base64 -d | sh\"", "echo 'bHM=' | base64 -d | sh"},
        {" sh -c \"echo 'bHM=' | base64 -d | sh\" ", "echo 'bHM=' | base64 -d | sh"},
        {"sh -c \"export A=$(echo 'eCB5' | base64 -d); echo 'bHM=' | base64 -d | sh\"",
         "export A=$(echo 'eCB5' | base64 -d); echo 'bHM=' | base64 -d | sh"},
        {"sh -c \"echo $HOME\"", NULL},
        {"sh -c \"ls | base64 -d | sh\"", NULL},
        {"sh -c \"echo '\\\"' | base64 -d | sh\"", NULL},
        {"sh -c \"echo 'a\" | base64 -d | sh\"", NULL},
        {"bash -c \"echo 'bHM=' | base64 -d | sh\"", NULL},
        {"sh -c \" | base64 -d | sh\"", NULL},
        {"sh -c \"", NULL},
        {"", NULL},
        {"ls", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_str got = dt_shell_legacy(dt_str_z(rows[i].command));
        assert_int_equal(got.p == NULL, rows[i].inner == NULL);
        if (rows[i].inner != NULL)
            assert_true(dt_str_eq(got, dt_str_z(rows[i].inner)));
    }
}

static void test_argv(void **state)
{
    (void)state;
    struct dt_shell_argv a;
    assert_int_equal(dt_shell_argv(&a, "echo hi", NULL), 0);
    assert_string_equal(a.argv[1], "-c");
    assert_string_equal(a.argv[2], "echo hi");
    assert_null(a.argv[3]);
    assert_int_equal(a.script_fd, -1);
    dt_shell_argv_done(&a);
}

static void test_long_command_goes_into_a_file(void **state)
{
    (void)state;
    size_t n = 300 * 1024;
    DT_AUTO_FREE char *text = malloc(n + 1);
    assert_non_null(text);
    memset(text, 'x', n);
    text[n] = '\0';
    struct dt_shell_argv a;
    assert_int_equal(dt_shell_argv(&a, text, NULL), 0);
    assert_string_equal(a.argv[1], "/proc/self/fd/3");
    assert_null(a.argv[2]);
    assert_true(a.script_fd >= 0);
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, n);
    assert_int_equal(lseek(a.script_fd, 0, SEEK_SET), 0);
    assert_int_equal(dt_fd_read_all(a.script_fd, &b, NULL), 0);
    assert_true(dt_str_eq(dt_buf_str(&b), dt_str(text, n)));
    dt_shell_argv_done(&a);
}

static void test_env_names(void **state)
{
    (void)state;
    assert_true(dt_env_name_ok("A"));
    assert_true(dt_env_name_ok("_a1"));
    assert_false(dt_env_name_ok(""));
    assert_false(dt_env_name_ok("1A"));
    assert_false(dt_env_name_ok("A-B"));
    assert_false(dt_env_name_ok("A=B"));
    assert_false(dt_env_name_ok("\xc3\xa4"));
}

static void test_paths(void **state)
{
    (void)state;
    char workdir[] = "/work";
    struct dt_guest g = {.workdir = workdir};
    static const struct {
        struct dt_str in;
        const char *want;
    } rows[] = {
        {{"a", 1}, "/work/a"},       {{"/a", 2}, "/a"}, {{"../a", 4}, "/work/../a"},
        {{".", 1}, "/work/."},       {{"", 0}, NULL},   {{"a\0b", 3}, NULL},
        {{" a\n", 3}, "/work/ a\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_err err;
        DT_AUTO_FREE char *got = dt_guest_path(&g, rows[i].in, &err);
        if (rows[i].want == NULL) {
            assert_null(got);
            assert_int_equal(err.code, DT_E_INVALID_FILE_PATH);
        } else {
            assert_string_equal(got, rows[i].want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_legacy),
        cmocka_unit_test(test_argv),
        cmocka_unit_test(test_long_command_goes_into_a_file),
        cmocka_unit_test(test_env_names),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
