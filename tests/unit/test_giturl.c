#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mcp/giturl.h"

static const struct {
    const char *url, *clean, *folder, *username, *password;
} good[] = {
    {"https://host/a/repo.git", "https://host/a/repo.git", "repo", NULL, NULL},
    {"https://host/a/repo/", "https://host/a/repo/", "repo", NULL, NULL},
    {"http://u:p@host/r", "http://host/r", "r", "u", "p"},
    {"https://token@host/r", "https://host/r", "r", "token", NULL},
    {"https://u:p%40q%2f@host/r", "https://host/r", "r", "u", "p@q/"},
    {"https://u:p@q@host/r", "https://host/r", "r", "u", "p@q"},
    {"https://host/a@b/r", "https://host/a@b/r", "r", NULL, NULL},
    {"ssh://git@host:22/a/r.git", "ssh://git@host:22/a/r.git", "r", NULL, NULL},
    {"git@host:a/r.git", "git@host:a/r.git", "r", NULL, NULL},
    {"git@host:r", "git@host:r", "r", NULL, NULL},
    {"host/a/r", "host/a/r", "r", NULL, NULL},
    {"/srv/r.git", "/srv/r.git", "r", NULL, NULL},
    {"file:///srv/r.git", "file:///srv/r.git", "r", NULL, NULL},
    {"file:///srv/r/.git", "file:///srv/r/.git", "r", NULL, NULL},
    {"HTTPS://u:p@host/r", "HTTPS://host/r", "r", "u", "p"},
    {"https://host/..", "https://host/..", "repository", NULL, NULL},
    {"https://host/-x", "https://host/-x", "repository", NULL, NULL},
};

static void check(const char *got, const char *want)
{
    assert_int_equal(got != NULL, want != NULL);
    if (want != NULL)
        assert_string_equal(got, want);
}

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct dt_giturl u;
        struct dt_err err;
        assert_int_equal(dt_giturl_parse(good[i].url, &u, &err), 0);
        check(u.clean, good[i].clean);
        check(u.folder, good[i].folder);
        check(u.username, good[i].username);
        check(u.password, good[i].password);
        dt_giturl_done(&u);
    }
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "ext::sh -c id",    "-x:y",
                                      "ftp://h/r", "https://host/\nr", "--upload-pack=x:y"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_giturl u;
        struct dt_err err;
        assert_int_equal(dt_giturl_parse(bad[i], &u, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests_name("giturl", tests, NULL, NULL);
}
