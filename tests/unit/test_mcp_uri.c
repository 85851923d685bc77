#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mcp/uri.h"

static const struct {
    const char *text, *id, *path;
    uint64_t offset, length;
} good[] = {
    {"sandbox://abc/tmp/a.txt", "abc", "/tmp/a.txt", 0, DT_URI_PAGE},
    {"sandbox://abc//tmp/a.txt", "abc", "/tmp/a.txt", 0, DT_URI_PAGE},
    {"sandbox://abc/~/a.txt", "abc", "./a.txt", 0, DT_URI_PAGE},
    {"sandbox://abc/", "abc", "/", 0, DT_URI_PAGE},
    {"sandbox://abc", "abc", "/", 0, DT_URI_PAGE},
    {"sandbox://a%20b/x%3Fy%20z", "a b", "/x?y z", 0, DT_URI_PAGE},
    {"sandbox://abc/f?offset=10&length=20", "abc", "/f", 10, 20},
    {"sandbox://abc/f?length=1048576", "abc", "/f", 0, 1048576},
    {"sandbox://abc/f?offset=9223372036854775807", "abc", "/f", INT64_MAX, DT_URI_PAGE},
    {"sandbox://abc/f?", "abc", "/f", 0, DT_URI_PAGE},
    {"sandbox://abc/../../etc/passwd", "abc", "/../../etc/passwd", 0, DT_URI_PAGE},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct dt_uri u;
        struct dt_err err;
        assert_int_equal(dt_uri_parse(good[i].text, &u, &err), 0);
        assert_string_equal(u.id, good[i].id);
        assert_string_equal(u.path, good[i].path);
        assert_int_equal(u.offset, good[i].offset);
        assert_int_equal(u.length, good[i].length);
        dt_uri_done(&u);
    }
}

static const char *const bad[] = {
    "",
    "file:///etc/passwd",
    "sandbox:/abc/x",
    "sandbox://",
    "sandbox:///x",
    "sandbox://abc/a%0",
    "sandbox://abc/a%zz",
    "sandbox://abc/a%00b",
    "sandbox://a%00b/x",
    "sandbox://abc/f?offset=-1",
    "sandbox://abc/f?offset=1x",
    "sandbox://abc/f?offset=9223372036854775808",
    "sandbox://abc/f?length=0",
    "sandbox://abc/f?length=1048577",
    "sandbox://abc/f?other=1",
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_uri u;
        struct dt_err err;
        assert_int_equal(dt_uri_parse(bad[i], &u, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        assert_non_null(strstr(err.msg, DT_URI_TEMPLATE));
    }
}

/* What is printed parses to the same. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char *const paths[] = {"/",     "/tmp/a b", "/x?y#z", "/\xc3\xa4/%41",
                                        "/a//b", "/a/\n",    "rel/x",  "x"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct dt_uri u;
        struct dt_err err;
        DT_AUTO_BUF struct dt_buf out;
        dt_buf_init(&out, 1000);
        assert_int_equal(dt_uri_print(&out, "id 1", paths[i], &err), 0);
        assert_int_equal(dt_uri_parse(out.p, &u, &err), 0);
        assert_string_equal(u.id, "id 1");
        assert_string_equal(u.path + (paths[i][0] == '/' ? 0 : 2), paths[i]);
        dt_uri_done(&u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests_name("mcp_uri", tests, NULL, NULL);
}
