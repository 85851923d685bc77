#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "toolbox/lsp_uri.h"

static void test_clean(void **state)
{
    (void)state;
    static const struct {
        const char *path, *want;
    } rows[] = {
        {"/", "/"},
        {"//", "/"},
        {"/a/b", "/a/b"},
        {"/a/b/", "/a/b"},
        {"//a///b", "/a/b"},
        {"/a/./b/.", "/a/b"},
        {"/a/../b", "/b"},
        {"/../../b", "/b"},
        {"/a/b/../../..", "/"},
        {"/a/..b/.c./...", "/a/..b/.c./..."},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s", rows[i].path);
        dt_lsp_path_clean(path);
        assert_string_equal(path, rows[i].want);
    }
}

static void test_uri(void **state)
{
    (void)state;
    static const struct {
        const char *path, *want;
    } rows[] = {
        {"/", "file:///"},
        {"/a/b.py", "file:///a/b.py"},
        {"/a b/c#d?e%f", "file:///a%20b/c%23d%3Fe%25f"},
        {"/\xc3\xa9/\xff", "file:///%C3%A9/%FF"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        DT_AUTO_FREE char *uri = dt_lsp_path_uri(rows[i].path);
        assert_string_equal(uri, rows[i].want);
    }
}

static void test_path(void **state)
{
    (void)state;
    char folder[] = "/tmp/test-lsp-uri-XXXXXX", literal[64];
    assert_non_null(mkdtemp(folder));
    struct dt_guest g = {.workdir = folder};
    (void)snprintf(literal, sizeof(literal), "%s/l%%69t", folder);
    FILE *f = fopen(literal, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    static const struct {
        const char *uri, *want; /* behind the folder, when it begins with none */
    } rows[] = {
        {"file:///a/b.py", "/a/b.py"},       {"/a//b.py", "/a/b.py"},
        {"file://src/./b.py", "src/b.py"},   {"src/b.py", "src/b.py"},
        {"file:///a/b%20c.py", "/a/b c.py"}, {"file:///a/b c.py", "/a/b c.py"},
        {"file:///a/100%", "/a/100%"},       {"file:///a/%00", "/a/%00"},
        {"file://l%69t", "l%69t"}, /* there is such a file */
        {"http://host/a.py", NULL},          {"file://", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_err err;
        char want[128];
        DT_AUTO_FREE char *path = dt_lsp_uri_path(&g, rows[i].uri, &err);
        if (rows[i].want == NULL) {
            assert_null(path);
            assert_int_equal(err.code, DT_E_INVALID_FILE_PATH);
            continue;
        }
        (void)snprintf(want, sizeof(want), "%s%s%s", rows[i].want[0] == '/' ? "" : folder,
                       rows[i].want[0] == '/' ? "" : "/", rows[i].want);
        assert_string_equal(path, want);
    }
    assert_int_equal(unlink(literal), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_document(void **state)
{
    (void)state;
    char folder[] = "/tmp/test-lsp-uri-XXXXXX", project[64], path[128];
    assert_non_null(mkdtemp(folder));
    struct dt_guest g = {.workdir = folder};
    (void)snprintf(project, sizeof(project), "%s/project", folder);
    assert_int_equal(mkdir(project, 0700), 0);
    static const char *const there[] = {"both.py", "project/both.py", "project/inside.py"};
    for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, there[i]);
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
    }
    static const char *const rows[][2] = {
        {"file://project/inside.py", "project/inside.py"},
        {"file://inside.py", "project/inside.py"},
        {"file://./inside.py", "project/inside.py"},
        {"file://both.py", "both.py"},
        {"file://none.py", "none.py"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_err err;
        DT_AUTO_FREE char *got = dt_lsp_document_path(&g, project, rows[i][0], &err);
        (void)snprintf(path, sizeof(path), "%s/%s", folder, rows[i][1]);
        assert_string_equal(got, path);
    }
    struct dt_err err;
    DT_AUTO_FREE char *whole = dt_lsp_document_path(&g, project, "file:///inside.py", &err);
    assert_string_equal(whole, "/inside.py");
    for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, there[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(project), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_uri),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
