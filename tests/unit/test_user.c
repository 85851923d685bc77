#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "toolbox/user.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
                             "broken line\n"
                             "nouid:x:abc:0::/x:/bin/sh\n"
                             "daytona:x:1000:1000:Daytona,,,:/home/daytona:/bin/bash\n"
                             "short:x:1001:1001::/home/short\n"
                             "relative:x:1002:1002::home/relative:/bin/sh\n"
                             "last:x:1003:1003::/home/last:/bin/zsh";
static const char group[] = "root:x:0:\n"
                            "sudo:x:27:other,daytona\n"
                            "docker:x:999:daytonax\n"
                            "video:x:44:daytona,last\n"
                            "daytona:x:1000:daytona\n";

static int find(const char *spec, struct dt_user *u)
{
    return dt_user_find(dt_str_z(passwd), dt_str_z(group), dt_str_z(spec), u, NULL);
}

static void test_found(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        unsigned uid, gid;
        const char *name, *home, *shell;
    } rows[] = {
        {"", 0, 0, "root", "/root", "/bin/bash"},
        {"root", 0, 0, "root", "/root", "/bin/bash"},
        {"0", 0, 0, "root", "/root", "/bin/bash"},
        {"daytona", 1000, 1000, "daytona", "/home/daytona", "/bin/bash"},
        {"1000", 1000, 1000, "daytona", "/home/daytona", "/bin/bash"},
        {"daytona:video", 1000, 44, "daytona", "/home/daytona", "/bin/bash"},
        {"daytona:4711", 1000, 4711, "daytona", "/home/daytona", "/bin/bash"},
        {"short", 1001, 1001, "short", "/home/short", "/bin/sh"},
        {"relative", 1002, 1002, "relative", "/", "/bin/sh"},
        {"last", 1003, 1003, "last", "/home/last", "/bin/zsh"},
        {"4242", 4242, 0, "4242", "/", "/bin/sh"},
        {"4242:27", 4242, 27, "4242", "/", "/bin/sh"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_user u;
        assert_int_equal(find(rows[i].spec, &u), 0);
        assert_int_equal(u.uid, rows[i].uid);
        assert_int_equal(u.gid, rows[i].gid);
        assert_string_equal(u.name, rows[i].name);
        assert_string_equal(u.home, rows[i].home);
        assert_string_equal(u.shell, rows[i].shell);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const specs[] = {"nobody",     ":0",    "daytona:nogroup", "-1",
                                        "4294967296", "nouid", "broken line",     "daytona:"};
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        struct dt_user u = {.uid = 77};
        assert_int_equal(find(specs[i], &u), -1);
        assert_int_equal(u.uid, 77);
    }
}

static void test_groups(void **state)
{
    (void)state;
    struct dt_user u;
    assert_int_equal(find("daytona", &u), 0);
    assert_int_equal(u.ngroups, 3);
    assert_int_equal(u.groups[0], 1000);
    assert_int_equal(u.groups[1], 27);
    assert_int_equal(u.groups[2], 44);
}

static void test_image_without_files(void **state)
{
    (void)state;
    struct dt_user u;
    struct dt_str none = {NULL, 0};
    assert_int_equal(dt_user_find(none, none, DT_STR("root"), &u, NULL), 0);
    assert_string_equal(u.home, "/root");
    assert_int_equal(dt_user_find(none, none, DT_STR("daytona"), &u, NULL), -1);
}

static void test_groups_have_a_limit(void **state)
{
    (void)state;
    DT_AUTO_FREE char *many = calloc(1, 200 * 32);
    assert_non_null(many);
    size_t n = 0;
    for (int i = 0; i < 200; i++)
        n += (size_t)snprintf(many + n, 32, "g%d:x:%d:daytona\n", i, 5000 + i);
    struct dt_user u;
    assert_int_equal(dt_user_find(dt_str_z(passwd), dt_str(many, n), DT_STR("daytona"), &u, NULL),
                     0);
    assert_int_equal(u.ngroups, DT_USER_GROUPS_MAX);
}

/* The machine's own files. */
static void test_a_required_user_is_never_replaced(void **state)
{
    (void)state;
    struct dt_user u;
    struct dt_err err;
    assert_int_equal(dt_user_load("no such user", true, &u, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    assert_int_equal(dt_user_load("no such user", false, &u, &err), 0);
    assert_int_equal(u.uid, 0);
    assert_string_equal(u.name, "root");
    assert_int_equal(dt_user_load("12345", true, &u, &err), 0);
    assert_int_equal(u.uid, 12345);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_image_without_files),
        cmocka_unit_test(test_groups_have_a_limit),
        cmocka_unit_test(test_a_required_user_is_never_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
