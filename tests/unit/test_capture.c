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
#include "toolbox/capture.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/dt-capture-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO_FD int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return dt_fd_remove_tree(tmp, dir + strlen("/tmp/"), &err);
}

static int count_files(void)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    const struct dirent *e;
    while ((e = readdir(d)) != NULL)
        n += e->d_name[0] != '.';
    (void)closedir(d);
    return n;
}

/* Adds `text` in pieces of `step` bytes and shows it. */
static void run(struct dt_capture *c, struct dt_capture_view *v, size_t limit, const char *text,
                size_t n, size_t step)
{
    dt_capture_init(c, limit, dir, "stdout");
    for (size_t i = 0; i < n; i += step)
        dt_capture_add(c, text + i, n - i < step ? n - i : step);
    assert_int_equal(dt_capture_show(c, v, NULL), 0);
    assert_int_equal(c->total, n);
}

static void test_short_output_is_whole(void **state)
{
    (void)state;
    const char text[] = "0123456789";
    for (size_t n = 0; n <= 10; n++) {
        for (size_t step = 1; step <= 10; step++) {
            struct dt_capture c;
            struct dt_capture_view v;
            run(&c, &v, 10, text, n, step);
            assert_int_equal(v.omitted, 0);
            assert_true(dt_str_eq(dt_buf_str(&v.head), dt_str(text, n)));
            assert_int_equal(v.tail.n, 0);
            assert_string_equal(v.path, "");
            dt_capture_view_done(&v);
            dt_capture_done(&c);
        }
    }
    assert_int_equal(count_files(), 0);
}

static void test_long_output_is_cut_and_kept_in_a_file(void **state)
{
    (void)state;
    char text[1000];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    for (size_t n = 11; n < sizeof(text); n += 37) {
        for (size_t step = 1; step < 400; step += 33) {
            struct dt_capture c;
            struct dt_capture_view v;
            run(&c, &v, 10, text, n, step);
            assert_int_equal(v.omitted, n - 10);
            assert_true(dt_str_eq(dt_buf_str(&v.head), dt_str(text, 5)));
            assert_true(dt_str_eq(dt_buf_str(&v.tail), dt_str(text + n - 5, 5)));
            DT_AUTO_BUF struct dt_buf file;
            dt_buf_init(&file, 2000);
            assert_int_equal(dt_fd_read_file(AT_FDCWD, v.path, &file, NULL), 0);
            assert_true(dt_str_eq(dt_buf_str(&file), dt_str(text, n)));
            dt_capture_view_done(&v);
            dt_capture_done(&c);
        }
    }
}

static void test_only_the_newest_files_stay(void **state)
{
    (void)state;
    assert_int_equal(count_files(), DT_CAPTURE_FILES_MAX);
}

static void test_cut_between_characters(void **state)
{
    (void)state;
    /* 3 bytes each; half of the limit is inside a character at both ends. */
    const char text[] = "€€€€€€€€€€";
    struct dt_capture c;
    struct dt_capture_view v;
    run(&c, &v, 10, text, sizeof(text) - 1, 4);
    assert_true(dt_str_eq(dt_buf_str(&v.head), DT_STR("€")));
    assert_true(dt_str_eq(dt_buf_str(&v.tail), DT_STR("€")));
    assert_int_equal(v.omitted, 24);
    dt_capture_view_done(&v);
    dt_capture_done(&c);
}

static void test_character_across_the_halves(void **state)
{
    (void)state;
    const char text[] = "abc€def";
    struct dt_capture c;
    struct dt_capture_view v;
    run(&c, &v, 10, text, 9, 1);
    assert_true(dt_str_eq(dt_buf_str(&v.head), dt_str(text, 9)));
    dt_capture_view_done(&v);
    dt_capture_done(&c);
}

static void test_binary_is_repaired(void **state)
{
    (void)state;
    const char text[] = {'a', (char)0xff, 'b', '\0', 'c'};
    struct dt_capture c;
    struct dt_capture_view v;
    run(&c, &v, 10, text, sizeof(text), 5);
    assert_true(dt_str_eq(dt_buf_str(&v.head), DT_STR("a\xef\xbf\xbd"
                                                      "b\0c")));
    dt_capture_view_done(&v);
    dt_capture_done(&c);
}

static void test_without_a_folder_it_still_counts(void **state)
{
    (void)state;
    struct dt_capture c;
    struct dt_capture_view v;
    dt_capture_init(&c, 10, "/proc/self/nothing/here", "stdout");
    dt_capture_add(&c, "0123456789abcdef", 16);
    assert_int_equal(dt_capture_show(&c, &v, NULL), 0);
    assert_int_equal(v.omitted, 6);
    assert_string_equal(v.path, "");
    assert_true(dt_str_eq(dt_buf_str(&v.tail), DT_STR("bcdef")));
    dt_capture_view_done(&v);
    dt_capture_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_output_is_whole),
        cmocka_unit_test(test_long_output_is_cut_and_kept_in_a_file),
        cmocka_unit_test(test_only_the_newest_files_stay),
        cmocka_unit_test(test_cut_between_characters),
        cmocka_unit_test(test_character_across_the_halves),
        cmocka_unit_test(test_binary_is_repaired),
        cmocka_unit_test(test_without_a_folder_it_still_counts),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
