#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>

#include "toolbox/pty_text.h"

static void test_ids(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        bool good;
    } cases[] = {
        {"interactive-session", true},
        {"a b~@:+,;=!$&'()*", true},
        {"é", true},
        {"...", true},
        {"create-connect2", true},
        {"", false},
        {".", false},
        {"..", false},
        {"create-connect", false},
        {"a/b", false},
        {"a\\b", false},
        {"a?b", false},
        {"a#b", false},
        {"a%b", false},
        {"a\tb", false},
        {"a\x7f", false},
        {"\xc3(", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(dt_pty_check_id(dt_str_z(cases[i].id), NULL), cases[i].good ? 0 : -1);
    char longest[DT_PTY_ID_MAX + 2] = "";
    memset(longest, 'x', DT_PTY_ID_MAX + 1);
    assert_int_equal(dt_pty_check_id(dt_str(longest, DT_PTY_ID_MAX), NULL), 0);
    assert_int_equal(dt_pty_check_id(dt_str(longest, DT_PTY_ID_MAX + 1), NULL), -1);
    assert_int_equal(dt_pty_check_id(dt_str("a\0b", 3), NULL), -1);
}

static void test_sizes(void **state)
{
    (void)state;
    struct dt_err err;
    assert_int_equal(dt_pty_check_size(0, 0, &err), 0);
    assert_int_equal(dt_pty_check_size(1000, 1000, &err), 0);
    assert_int_equal(dt_pty_check_size(1001, 1, &err), -1);
    assert_string_equal(err.msg, "invalid value for cols - must be less than 1000");
    assert_int_equal(dt_pty_check_size(1, INT64_MAX, &err), -1);
    assert_string_equal(err.msg, "invalid value for rows - must be less than 1000");
}

static void test_envs(void **state)
{
    (void)state;
    json_t *j = NULL;
    assert_int_equal(dt_pty_envs(DT_STR("X-Daytona-Pty-Envs~eyJBIjoixI0_PyJ9"), &j, NULL), 0);
    assert_int_equal(json_object_size(j), 1);
    assert_string_equal(json_string_value(json_object_get(j, "A")), "\xc4\x8d??");
    json_decref(j);
    static const char *const bad[] = {
        "",
        "X-Daytona-Pty-Envs",
        "X-Daytona-Pty-Envs~",
        "X-Daytona-Pty-Envs~!",
        "X-Daytona-Pty-Envs~e30=",         /* padding */
        "X-Daytona-Pty-Envs~W10",          /* [] */
        "X-Daytona-Pty-Envs~eyJBIjoxfQ",   /* {"A":1} */
        "X-Daytona-Pty-Envs~eyJBLSI6IiJ9", /* {"A-":""} */
        "X-Daytona-Pty-Envs~eyJBIjoi",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_err err;
        assert_int_equal(dt_pty_envs(dt_str_z(bad[i]), &j, &err), -1);
        assert_int_equal(err.code, DT_E_BAD_REQUEST);
    }
}

static void test_ends(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *reason;
    } cases[] = {
        {0, "{\"exitCode\":0}"},
        {3 << 8, "{\"exitCode\":3,\"exitReason\":\"non-zero exit\"}"},
        {130 << 8, "{\"exitCode\":130,\"exitReason\":\"Ctrl+C\"}"},
        {SIGINT, "{\"exitCode\":130,\"exitReason\":\"Ctrl+C\"}"},
        {SIGKILL, "{\"exitCode\":137,\"exitReason\":\"SIGKILL\"}"},
        {SIGTERM, "{\"exitCode\":143,\"exitReason\":\"SIGTERM\"}"},
        {SIGSEGV | 0x80, "{\"exitCode\":139,\"exitReason\":\"signal 11\"}"},
        {255 << 8, "{\"exitCode\":255,\"exitReason\":\"signal 127\"}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dt_pty_text room;
        char whole[300];
        int code = dt_pty_exit_code(cases[i].status);
        struct dt_str s = dt_pty_close_reason(code, &room);
        assert_true(dt_str_eq(s, dt_str_z(cases[i].reason)) && s.n <= 123);
        (void)snprintf(whole, sizeof(whole), "{\"type\":\"control\",\"status\":\"exited\",%s",
                       cases[i].reason + 1);
        assert_true(dt_str_eq(dt_pty_exited(code, &room), dt_str_z(whole)));
    }
}

static void test_failure(void **state)
{
    (void)state;
    struct dt_pty_text room;
    assert_true(dt_str_eq(dt_pty_failed("it's \"gone\"", &room),
                          DT_STR("{\"type\":\"control\",\"status\":\"error\",\"error\":\"Failed to "
                                 "connect to PTY session: it's \\\"gone\\\"\"}")));
    char longest[600];
    memset(longest, '\x01', sizeof(longest) - 1); /* six bytes each in JSON */
    longest[sizeof(longest) - 1] = '\0';
    struct dt_str s = dt_pty_failed(longest, &room);
    DT_AUTO_JSON json_t *j = dt_json_parse(s, 2, NULL);
    assert_non_null(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),  cmocka_unit_test(test_sizes),   cmocka_unit_test(test_envs),
        cmocka_unit_test(test_ends), cmocka_unit_test(test_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
