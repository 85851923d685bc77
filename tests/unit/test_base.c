#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/notify.h"
#include "base/rand.h"
#include "base/sha1.h"
#include "base/utf8.h"

static void test_numbers_are_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned long long max;
        int want;
    } rows[] = {{"0", 10, 0},
                {"10", 10, 0},
                {"11", 10, -1},
                {"02280", 65535, -1},
                {"+2280", 65535, -1},
                {"2280 ", 65535, -1},
                {"", 10, -1},
                {"-1", 10, -1},
                {"0x10", 99, -1},
                {"18446744073709551615", ~0ull, 0},
                {"18446744073709551616", ~0ull, -1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned long long v;
        assert_int_equal(dt_str_u64(dt_str_z(rows[i].text), rows[i].max, &v), rows[i].want);
    }
}

static void test_cut(void **state)
{
    (void)state;
    struct dt_str rest = DT_STR("a,,b,");
    struct dt_str piece;
    static const char *const want[] = {"a", "", "b", ""};
    for (size_t i = 0; i < 4; i++) {
        assert_true(dt_str_cut(&rest, ',', &piece));
        assert_true(dt_str_eq(piece, dt_str_z(want[i])));
    }
    assert_false(dt_str_cut(&rest, ',', &piece));
}

static void test_buffer_keeps_its_maximum(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 10);
    struct dt_err err;
    assert_int_equal(dt_buf_addz(&b, "12345", &err), 0);
    assert_int_equal(dt_buf_addz(&b, "678901", &err), -1);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
    assert_string_equal(b.p, "12345");
    assert_int_equal(dt_buf_addf(&b, &err, "%s", "67890"), 0);
    dt_buf_consume(&b, 8);
    assert_string_equal(b.p, "90");
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {{"abc", "abc"},
                {"\xc3\xa9", "\xc3\xa9"},
                {"\xc3", "\xef\xbf\xbd"},
                {"a\xffz", "a\xef\xbf\xbdz"},
                {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
                {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        DT_AUTO_BUF struct dt_buf b;
        dt_buf_init(&b, 100);
        assert_int_equal(dt_utf8_repair(&b, dt_str_z(rows[i].in), NULL), 0);
        assert_string_equal(b.p, rows[i].out);
        assert_int_equal(dt_utf8_valid(dt_str_z(rows[i].in)), strcmp(rows[i].in, rows[i].out) == 0);
    }
    char mixed[] = "\xc3\xa9\xff\xed\xa0\x80z\xe2\x82", none[] = "";
    dt_utf8_mask(mixed);
    dt_utf8_mask(none);
    assert_string_equal(mixed, "\xc3\xa9????z??");
    assert_string_equal(none, "");
    assert_int_equal(dt_utf8_cut(DT_STR("a\xf0\x9f\x98\x80"), 3), 1);
    assert_int_equal(dt_utf8_cut(DT_STR("a\xf0\x9f\x98\x80"), 5), 5);
    assert_int_equal(dt_utf8_cut(DT_STR("\x80\x80\x80\x80\x80"), 3), 3);
}

static void test_base64(void **state)
{
    (void)state;
    static const char *const good[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        DT_AUTO_BUF struct dt_buf b, back;
        dt_buf_init(&b, 100);
        dt_buf_init(&back, 100);
        assert_int_equal(dt_base64_encode(&b, good[i][0], strlen(good[i][0]), NULL), 0);
        assert_string_equal(b.p, good[i][1]);
        assert_int_equal(dt_base64_decode(&back, dt_buf_str(&b), NULL), 0);
        assert_string_equal(back.p, good[i][0]);
    }
    static const char *const bad[] = {"Z", "Zg=a", "Zg=", "Zm9v====", "Zm-v", "Zh==", "Zm9vY"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        DT_AUTO_BUF struct dt_buf b;
        dt_buf_init(&b, 100);
        assert_int_equal(dt_base64_decode(&b, dt_str_z(bad[i]), NULL), -1);
    }
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 100);
    assert_int_equal(dt_base64_decode(&b, DT_STR("Zm\n9v Zg"), NULL), 0);
    assert_string_equal(b.p, "foof");
}

static void test_sha1(void **state)
{
    (void)state;
    char million[1000];
    memset(million, 'a', sizeof(million));
    const struct {
        const char *text;
        size_t n;
        const char *sum;
    } cases[] = {
        /* RFC 3174 section 7.3, and lengths around the last block's edges */
        {"", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
        {million, 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a"},
        {million, 63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5"},
        {million, 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d"},
        {million, 1000, "291e9a6c66994949b57ba5e650361e98fc36b1ba"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char sum[DT_SHA1_SIZE];
        char hex[2 * DT_SHA1_SIZE + 1];
        dt_sha1(cases[i].text, cases[i].n, sum);
        for (size_t k = 0; k < sizeof(sum); k++)
            (void)snprintf(hex + 2 * k, 3, "%02x", sum[k]);
        assert_string_equal(hex, cases[i].sum);
    }
}

static void test_names(void **state)
{
    (void)state;
    char id[DT_UUID_SIZE];
    dt_rand_uuid(id);
    assert_true(dt_is_uuid(id));
    assert_int_equal(id[14], '4');
    assert_false(dt_is_uuid("00000000-0000-0000-0000-00000000000G"));
    assert_false(dt_is_uuid("short"));
    static const struct {
        int64_t ms;
        const char *text;
    } times[] = {{0, "1970-01-01T00:00:00.000Z"},
                 {1761912000123, "2025-10-31T12:00:00.123Z"},
                 {951782399999, "2000-02-28T23:59:59.999Z"},
                 {951782400000, "2000-02-29T00:00:00.000Z"},
                 {951868800000, "2000-03-01T00:00:00.000Z"},
                 {1709164800000, "2024-02-29T00:00:00.000Z"},
                 {1735689599000, "2024-12-31T23:59:59.000Z"},
                 {4107542400000, "2100-03-01T00:00:00.000Z"}};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char iso[DT_CLOCK_ISO_SIZE];
        assert_string_equal(dt_clock_iso(times[i].ms, iso), times[i].text);
        int64_t back = -1;
        assert_int_equal(dt_clock_parse_iso(dt_str_z(times[i].text), &back), 0);
        assert_true(back == times[i].ms);
    }
}

static void test_times_of_others(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } rows[] = {{"2025-10-31", 1761868800000},
                {"2025-10-31T12:00:00Z", 1761912000000},
                {"2025-10-31 13:30:00.5+01:30", 1761912000500},
                {"2025-10-31t07:00:00.123456789-0500", 1761912000123},
                {"1970-01-01T00:00:00+00:01", -1},
                {"1969-12-31", -1},
                {"2025-02-29", -1},
                {"2100-02-29", -1},
                {"2025-13-01", -1},
                {"2025-10-31T24:00:00Z", -1},
                {"2025-10-31T12:00:00", -1},
                {"2025-10-31T12:00Z", -1},
                {"2025-10-31T12:00:00.Z", -1},
                {"2025-10-31T12:00:00Z ", -1},
                {"2025-1-31", -1},
                {"tomorrow", -1},
                {"", -1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = -1;
        assert_int_equal(dt_clock_parse_iso(dt_str_z(rows[i].text), &ms), rows[i].ms < 0 ? -1 : 0);
        assert_true(ms == rows[i].ms);
    }
}

static void test_remove_tree_stays_inside(void **state)
{
    (void)state;
    char top[] = "/tmp/test_base.XXXXXX";
    assert_non_null(mkdtemp(top));
    DT_AUTO_FD int fd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct dt_err err;
    assert_int_equal(mkdirat(fd, "keep", 0755), 0);
    assert_int_equal(dt_fd_replace(fd, "keep/file", "x", 1, 0644, &err), 0);
    assert_int_equal(mkdirat(fd, "t", 0755), 0);
    char path[256] = "t";
    for (int depth = 0; depth < 40; depth++) {
        (void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "/d");
        assert_int_equal(mkdirat(fd, path, 0755), 0);
    }
    assert_int_equal(symlinkat("../keep", fd, "t/link"), 0);
    for (int i = 0; i < 300; i++) {
        (void)snprintf(path, sizeof(path), "t/f%d", i);
        close(openat(fd, path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    }
    assert_int_equal(dt_fd_remove_tree(fd, "t", &err), 0);
    assert_int_equal(faccessat(fd, "t", F_OK, 0), -1);
    assert_int_equal(faccessat(fd, "keep/file", F_OK, 0), 0);
    assert_int_equal(dt_fd_remove_tree(fd, "t", &err), 0);
    assert_int_equal(dt_fd_remove_tree(fd, "keep", &err), 0);
    assert_int_equal(rmdir(top), 0);
}

static void test_folders_are_made_without_following(void **state)
{
    (void)state;
    char top[] = "/tmp/dt-folders-XXXXXX";
    struct dt_err err;
    struct stat st;
    assert_non_null(mkdtemp(top));
    DT_AUTO_FD int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(fd, "there", 0700), 0);
    assert_int_equal(symlinkat("/etc", fd, "link"), 0);
    assert_int_equal(symlinkat("nowhere", fd, "there/dangling"), 0);
    DT_AUTO_FD int file = openat(fd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    mode_t old = umask(0);
    static const char *const good[] = {"there", "there/a/b", "new", "there/a/b/c/d"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        DT_AUTO_FD int got = -1;
        struct stat want;
        assert_int_equal(dt_fd_make_folders(fd, good[i], 0777, &got, &err), 0);
        assert_int_equal(fstat(got, &st), 0);
        assert_int_equal(fstatat(fd, good[i], &want, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_ino, want.st_ino);
        assert_int_equal(st.st_mode & 0777, i == 0 ? 0700 : 0777);
    }
    (void)umask(old);
    static const char *const bad[] = {"link", "link/x", "there/dangling", "file", "file/x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int got = -1;
        assert_int_equal(dt_fd_make_folders(fd, bad[i], 0777, &got, &err), -1);
        assert_int_equal(err.code, DT_E_BAD_REQUEST);
        assert_int_equal(got, -1);
    }
    static const char *const outside[] = {"..", "there/../..", "/etc"};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        int got = -1;
        assert_int_equal(dt_fd_make_folders(fd, outside[i], 0777, &got, &err), -1);
        assert_int_equal(got, -1);
    }
    int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(dt_fd_remove_tree(tmp, top + sizeof("/tmp/") - 1, &err), 0);
    (void)close(tmp);
}

static void test_readiness_reaches_the_manager(void **state)
{
    (void)state;
    char top[] = "/tmp/test_base.XXXXXX";
    assert_non_null(mkdtemp(top));
    dt_notify_ready(); /* nobody asked */
    for (size_t i = 0; i < 2; i++) {
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        char name[64], text[32] = "";
        (void)snprintf(name, sizeof(name), i == 0 ? "%s/socket" : "@%s/abstract", top);
        (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", name);
        if (name[0] == '@')
            addr.sun_path[0] = '\0';
        DT_AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
        assert_int_equal(bind(fd, (const struct sockaddr *)&addr, size), 0);
        assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
        dt_notify_ready();
        assert_null(getenv("NOTIFY_SOCKET"));
        assert_int_equal(recv(fd, text, sizeof(text) - 1, 0), 7);
        assert_string_equal(text, "READY=1");
        if (name[0] != '@')
            assert_int_equal(unlink(name), 0);
    }
    assert_int_equal(rmdir(top), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_strict),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_buffer_keeps_its_maximum),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_sha1),
        cmocka_unit_test(test_times_of_others),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_remove_tree_stays_inside),
        cmocka_unit_test(test_folders_are_made_without_following),
        cmocka_unit_test(test_readiness_reaches_the_manager),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
