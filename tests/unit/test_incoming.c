#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "toolbox/incoming.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/dt-incoming-XXXXXX");
    return mkdtemp(dir) == NULL || chdir(dir) < 0 ? -1 : 0;
}

static int remove_dir(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO_FD int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return dt_fd_remove_tree(tmp, dir + strlen("/tmp/"), &err);
}

static int put(const char *path, const char *text, mode_t mode, bool replace, struct dt_err *err)
{
    struct dt_incoming in;
    if (dt_incoming_begin(&in, path, mode, replace, err) < 0)
        return -1;
    assert_int_equal(dt_incoming_write(&in, text, strlen(text), err), 0);
    return dt_incoming_commit(&in, err);
}

static void assert_file(const char *path, const char *text, mode_t mode)
{
    struct stat st;
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 1000);
    assert_int_equal(dt_fd_read_file(AT_FDCWD, path, &b, NULL), 0);
    assert_string_equal(b.p != NULL ? b.p : "", text);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
}

static void assert_nothing_beside(void)
{
    DIR *d = opendir(".");
    assert_non_null(d);
    const struct dirent *e;
    while ((e = readdir(d)) != NULL)
        assert_null(strstr(e->d_name, ".tmp"));
    (void)closedir(d);
}

static void test_new_and_replaced(void **state)
{
    (void)state;
    struct dt_err err;
    assert_int_equal(put("a/b/c", "one", DT_INCOMING_MODE_KEEP, true, &err), 0);
    assert_file("a/b/c", "one", 0644);
    assert_int_equal(chmod("a/b/c", 0751), 0);
    assert_int_equal(put("a/b/c", "", DT_INCOMING_MODE_KEEP, true, &err), 0);
    assert_file("a/b/c", "", 0751);
    assert_int_equal(put("a/b/c", "x", 0600, true, &err), 0);
    assert_file("a/b/c", "x", 0600);
    assert_int_equal(put("a/b/c", "y", 0600, false, &err), -1);
    assert_int_equal(err.code, DT_E_FILE_EXISTS);
    assert_file("a/b/c", "x", 0600);
    assert_int_equal(put("fresh", "y", 0640, false, &err), 0);
    assert_file("fresh", "y", 0640);
    assert_nothing_beside();
}

static void test_somebody_was_faster(void **state)
{
    (void)state;
    struct dt_err err;
    struct dt_incoming in;
    assert_int_equal(dt_incoming_begin(&in, "race", 0600, false, &err), 0);
    assert_int_equal(put("race", "first", 0600, true, &err), 0);
    assert_int_equal(dt_incoming_write(&in, "second", 6, &err), 0);
    assert_int_equal(dt_incoming_commit(&in, &err), -1);
    assert_int_equal(err.code, DT_E_FILE_EXISTS);
    assert_file("race", "first", 0600);
    assert_nothing_beside();
}

static void test_somebody_was_faster_and_is_replaced(void **state)
{
    (void)state;
    struct dt_err err;
    struct dt_incoming in;
    assert_int_equal(dt_incoming_begin(&in, "race2", 0640, true, &err), 0);
    assert_int_equal(put("race2", "first", 0600, true, &err), 0);
    assert_int_equal(dt_incoming_write(&in, "second", 6, &err), 0);
    assert_int_equal(dt_incoming_commit(&in, &err), 0);
    assert_file("race2", "second", 0640);
    assert_nothing_beside();
}

static void test_links_are_followed(void **state)
{
    (void)state;
    struct dt_err err;
    struct stat st;
    assert_int_equal(mkdir("to", 0755), 0);
    assert_int_equal(symlink("to/target", "link"), 0);
    assert_int_equal(symlink("link", "link2"), 0);
    assert_int_equal(put("link2", "dangling", DT_INCOMING_MODE_KEEP, true, &err), 0);
    assert_file("to/target", "dangling", 0644);
    assert_int_equal(put("link2", "again", DT_INCOMING_MODE_KEEP, true, &err), 0);
    assert_file("to/target", "again", 0644);
    assert_int_equal(lstat("link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(symlink("loop", "loop"), 0);
    assert_int_equal(put("loop", "x", DT_INCOMING_MODE_KEEP, true, &err), -1);
}

static void test_what_is_no_file(void **state)
{
    (void)state;
    struct dt_err err;
    assert_int_equal(mkdir("folder", 0755), 0);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    static const char *const bad[] = {"folder", "pipe", "folder/", "new/"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(put(bad[i], "x", DT_INCOMING_MODE_KEEP, true, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID_FILE_PATH);
    }
    assert_int_equal(put("pipe/below", "x", DT_INCOMING_MODE_KEEP, true, &err), -1);
    assert_nothing_beside();
}

static void test_given_up(void **state)
{
    (void)state;
    struct dt_err err;
    struct dt_incoming in;
    struct stat st;
    assert_int_equal(dt_incoming_begin(&in, "half", 0600, true, &err), 0);
    assert_int_equal(dt_incoming_write(&in, "x", 1, &err), 0);
    dt_incoming_done(&in);
    dt_incoming_done(&in);
    assert_int_equal(stat("half", &st), -1);
    assert_nothing_beside();
}

int main(void)
{
    (void)umask(022);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_and_replaced),
        cmocka_unit_test(test_somebody_was_faster),
        cmocka_unit_test(test_links_are_followed),
        cmocka_unit_test(test_what_is_no_file),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_somebody_was_faster_and_is_replaced),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
