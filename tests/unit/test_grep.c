#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "toolbox/grep.h"
#include "toolbox/subst.h"

static int file_of(const char *p, size_t n)
{
    int fd = memfd_create("grep", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(dt_fd_write_all(fd, p, n, NULL), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* --- lines --- */

static struct dt_buf out;
static int stop_after;

static int on_match(void *ctx, uint64_t line, struct dt_str content, bool cut)
{
    (void)ctx;
    assert_int_equal(
        dt_buf_addf(&out, NULL, "%d%s:%.*s;", (int)line, cut ? "+" : "", (int)content.n, content.p),
        0);
    return --stop_after == 0 ? 7 : 0;
}

static int search(const char *p, size_t n, const char *needle, size_t size)
{
    char buf[1024];
    DT_AUTO_FD int fd = file_of(p, n);
    const struct dt_grep g = {
        .needle = dt_str_z(needle), .buf = buf, .size = size, .match = on_match};
    dt_buf_clear(&out);
    return dt_grep(&g, fd);
}

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text, *needle, *want;
        size_t size;
    } rows[] = {
        {"one\ntwo\nthree\n", "t", "2:two;3:three;", 64},
        {"one\ntwo\nthree", "three", "3:three;", 64},
        {"a\r\nb\r\n", "a", "1:a;", 64},
        {"aaa aaa\n", "a", "1:aaa aaa;", 64},
        {"\n\nx\n\n", "x", "3:x;", 64},
        {"", "x", "", 64},
        {"x", "x", "1:x;", 64},
        {"x", "X", "", 64},
        {"x\ny", "x\ny", "", 64},
        /* more than the buffer, in lines that fit */
        {"aa\nbb\ncc\ndd\nee\nab\n", "ab", "6:ab;", 8},
        {"aa\nab\ncc\nab\nee\nab\n", "ab", "2:ab;4:ab;6:ab;", 8},
        /* lines that do not fit: once each, and the text may lie across two buffers */
        {"0123456ab9\nab\n", "ab", "1+:ab9;2:ab;", 8},
        {"0123456789ab456789ab\nx\nab", "ab", "1+:789ab456;3:ab;", 8},
        {"ab23456789012345ab", "ab", "1+:ab234567;", 8},
        {"0123456789012345\nab\n", "ab", "2:ab;", 8},
        {"0123456789012345\nab", "6", "1+:01234567;", 8},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        stop_after = 0;
        assert_int_equal(search(rows[i].text, strlen(rows[i].text), rows[i].needle, rows[i].size),
                         0);
        assert_string_equal(out.n > 0 ? out.p : "", rows[i].want);
    }
}

/* Every way to lay a text across the buffer's ends finds what a simple search finds. */
static void test_every_position(void **state)
{
    (void)state;
    for (size_t before = 0; before < 40; before++) {
        for (size_t length = 1; length < 20; length++) {
            char text[128], want[16];
            size_t n = 0;
            while (n < before) {
                text[n] = n % length == length - 1 ? '\n' : '.';
                n++;
            }
            memcpy(text + n, "nd", 2);
            memset(text + n + 2, '-', 30);
            int line = 1;
            for (size_t i = 0; i < n; i++)
                line += text[i] == '\n';
            stop_after = 0;
            assert_int_equal(search(text, n + 32, "nd", 16), 0);
            (void)snprintf(want, sizeof(want), "%d", line);
            assert_true(out.n > 0 && strncmp(out.p, want, strlen(want)) == 0);
            assert_ptr_equal(strchr(out.p, ';'), strrchr(out.p, ';'));
        }
    }
}

static void test_binary_and_stop(void **state)
{
    (void)state;
    char text[700];
    memset(text, 'x', sizeof(text));
    text[511] = '\0';
    stop_after = 0;
    assert_int_equal(search(text, sizeof(text), "x", 1024), 0);
    assert_int_equal(out.n, 0);
    text[511] = 'x';
    text[512] = '\0';
    assert_int_equal(search(text, sizeof(text), "x", 1024), 0);
    assert_true(out.n > 0);
    stop_after = 2;
    assert_int_equal(search("a\na\na\n", 6, "a", 64), 7);
    assert_string_equal(out.p, "1:a;2:a;");
    const atomic_bool yes = true;
    char buf[8];
    DT_AUTO_FD int fd = file_of("0123456789a", 11);
    const struct dt_grep g = {
        .needle = DT_STR("a"), .buf = buf, .size = 8, .match = on_match, .cancelled = &yes};
    dt_buf_clear(&out);
    assert_int_equal(dt_grep(&g, fd), 0);
    assert_int_equal(out.n, 0);
}

/* --- replacing --- */

static int put(void *ctx, const char *p, size_t n, struct dt_err *err)
{
    (void)ctx;
    return dt_buf_add(&out, p, n, err);
}

static void replace(const char *text, const char *needle, const char *value, size_t size,
                    const char *want)
{
    char buf[64];
    bool found;
    DT_AUTO_FD int fd = file_of(text, strlen(text));
    const struct dt_subst s = {
        .needle = dt_str_z(needle), .value = dt_str_z(value), .buf = buf, .size = size};
    dt_buf_clear(&out);
    assert_int_equal(dt_subst_find(&s, fd, &found, NULL), 0);
    assert_int_equal(found, strstr(text, needle) != NULL);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(dt_subst_copy(&s, fd, put, NULL, NULL), 0);
    assert_string_equal(out.n > 0 ? out.p : "", want);
}

static void test_replace(void **state)
{
    (void)state;
    for (size_t size = 8; size <= 64; size++) {
        replace("", "a", "b", size, "");
        replace("abc", "b", "", size, "ac");
        replace("aaaa", "aa", "b", size, "bb");
        replace("aaa", "aa", "b", size, "ba");
        replace("abababab", "abab", "x", size, "xx");
        replace("aXbXc", "X", "XX", size, "aXXbXXc");
        replace("one two three two one", "two", "2", size, "one 2 three 2 one");
        replace("0123456789abcd", "789a", "-", size, "0123456-bcd");
        replace("nothing to do here at all", "zzzz", "-", size, "nothing to do here at all");
        replace("line\nline\n", "e\nl", "-", size, "lin-ine\n");
    }
}

static void test_replace_fails_with_put(void **state)
{
    (void)state;
    char buf[16];
    struct dt_err err;
    DT_AUTO_FD int fd = file_of("0123456789", 10);
    const struct dt_subst s = {
        .needle = DT_STR("5"), .value = DT_STR("x"), .buf = buf, .size = sizeof(buf)};
    struct dt_buf whole = out;
    dt_buf_init(&out, 3);
    assert_int_equal(dt_subst_copy(&s, fd, put, NULL, &err), -1);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
    dt_buf_done(&out);
    out = whole;
    const atomic_bool yes = true;
    const struct dt_subst c = {
        .needle = DT_STR("5"), .buf = buf, .size = sizeof(buf), .cancelled = &yes};
    assert_int_equal(dt_subst_copy(&c, fd, put, NULL, &err), -1);
    assert_int_equal(err.code, DT_E_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_every_position),
        cmocka_unit_test(test_binary_and_stop),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_replace_fails_with_put),
    };
    dt_buf_init(&out, 4096);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dt_buf_done(&out);
    return failed;
}
