#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/git_guard.h"

static void test_keys(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "http.proxy",
        "http.https://h.example/a.b/.proxy",
        "http.sslverify",
        "http.sslcainfo",
        "http.curloptresolve",
        "http.new-in-a-later-git",
        "remote.origin.proxy",
        "remote.a.b.vcs",
        "remote.origin.uploadpack",
        "remote.origin.receivepack",
        "url.http://evil/.insteadof",
        "url.x.pushinsteadof",
        "core.alternaterefscommand",
        "core.gitproxy",
    };
    static const char *const allowed[] = {
        "http.postbuffer",
        "http.https://h/.extraheader",
        "remote.origin.url",
        "remote.origin.fetch",
        "remote.origin.gh-resolved",
        "core.bare",
        "core.fsmonitor",
        "branch.main.merge",
        "user.name",
        "httpx.proxy",
        "x",
        "",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_false(dt_git_guard_allows(dt_str_z(refused[i])));
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        assert_true(dt_git_guard_allows(dt_str_z(allowed[i])));
}

static void test_list(void **state)
{
    (void)state;
    struct dt_git_guard g;
    static const char list[] = "global\0http.proxy\nhttp://p\0system\0core.sshcommand\nssh -v\0"
                               "local\0core.bare\0local\0branch.a.b.remote\norigin\0"
                               "local\0branch.a.b.merge\nrefs/heads/x\0local\0branch.a.merge\ny\0";
    assert_int_equal(dt_git_guard_read(dt_str(list, sizeof(list) - 1), "a.b", &g, NULL), 0);
    assert_string_equal(g.refused, "");
    assert_string_equal(g.remote, "origin");
    assert_string_equal(g.merge, "refs/heads/x");
    assert_true(g.ssh_command);
    assert_int_equal(dt_git_guard_read(DT_STR("worktree\0http.proxy\nx\0"), NULL, &g, NULL), 0);
    assert_string_equal(g.refused, "http.proxy");
    assert_int_equal(dt_git_guard_read(DT_STR("command\0http.proxy\nx\0"), NULL, &g, NULL), 0);
    assert_string_equal(g.refused, "");
    assert_int_equal(dt_git_guard_read(DT_STR(""), "main", &g, NULL), 0);
    assert_int_equal(dt_git_guard_read(DT_STR("local\0a.b\nc"), NULL, &g, NULL), -1);
    assert_int_equal(dt_git_guard_read(DT_STR("local\0"), NULL, &g, NULL), -1);
    assert_int_equal(dt_git_guard_read(DT_STR("local"), NULL, &g, NULL), -1);
    assert_int_equal(dt_git_guard_read(DT_STR("\0a.b\nc\0"), NULL, &g, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
