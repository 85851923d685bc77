#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/session_script.h"

static void check(bool bash, const char *command, bool input, const char *want)
{
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, 1024);
    const struct dt_session_fifos fifos = {"/d", 7, input};
    assert_int_equal(dt_session_script(&out, bash, dt_str_z(command), &fifos, &err), 0);
    assert_string_equal(out.p, want);
}

static void test_lines(void **state)
{
    (void)state;
    check(true, "echo hi", false,
          "\\builtin eval ' echo hi' </dev/null >/d/7o 2>/d/7e 7>&-\n"
          "\\builtin printf '%s\\n' \"$?\" >&7\n");
    check(false, "cat", true,
          "\\command eval ' cat' </d/7i >/d/7o 2>/d/7e 7>&-\n"
          "\\command printf '%s\\n' \"$?\" >&7\n");
    check(true, "'", false,
          "\\builtin eval ' '\\''' </dev/null >/d/7o 2>/d/7e 7>&-\n"
          "\\builtin printf '%s\\n' \"$?\" >&7\n");
    check(true, "a'b''c\n", false,
          "\\builtin eval ' a'\\''b'\\'''\\''c\n' </dev/null >/d/7o 2>/d/7e 7>&-\n"
          "\\builtin printf '%s\\n' \"$?\" >&7\n");
}

static void test_too_long(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, 40);
    const struct dt_session_fifos fifos = {"/d", 7, false};
    assert_int_equal(dt_session_script(&out, true, DT_STR("''''''''''''"), &fifos, &err), -1);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
