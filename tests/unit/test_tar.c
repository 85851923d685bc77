#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/fd.h"
#include "oci/tar.h"
#include "tar_build.h"

#define ROWS(r) (sizeof(r) / sizeof((r)[0]))

/* An archive in memory, handed out in pieces of at most `step` bytes. */
struct memory {
    const char *p;
    size_t n, at, step;
};

static ssize_t memory_read(void *ctx, void *buf, size_t n, struct dt_err *err)
{
    (void)err;
    struct memory *m = ctx;
    size_t k = m->n - m->at < n ? m->n - m->at : n;
    if (k > m->step)
        k = m->step;
    if (k > 0)
        memcpy(buf, m->p + m->at, k);
    m->at += k;
    return (ssize_t)k;
}

static struct dt_tar *open_memory(struct memory *m, bool need_end)
{
    struct dt_tar *t = NULL;
    struct dt_err err;
    const struct dt_tar_source src = {.read = memory_read, .ctx = m};
    assert_int_equal(dt_tar_new(&src, need_end, &t, &err), 0);
    return t;
}

/* Reads all entries; 0 or the error's code. */
static enum dt_err_code walk(struct dt_str archive, bool need_end, struct dt_err *err)
{
    struct memory m = {archive.p, archive.n, 0, 700};
    DT_AUTO(dt_tar_free) struct dt_tar *t = open_memory(&m, need_end);
    struct dt_tar_entry e;
    int got;
    while ((got = dt_tar_next(t, &e, err)) > 0) {
        char buf[333];
        uint64_t at = 0;
        uint64_t sum = 0;
        ssize_t n;
        while ((n = dt_tar_data(t, buf, sizeof(buf), &at, err)) > 0) {
            assert_true(at + (uint64_t)n <= e.size);
            sum += (uint64_t)n;
        }
        if (n < 0)
            return err->code;
        assert_true(e.sparse || sum == e.size);
    }
    return got < 0 ? err->code : DT_OK;
}

static void run(const char *command)
{
    int status = system(command);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: status %d", command, status);
}

static char *temp_dir(char path[64])
{
    (void)snprintf(path, 64, "/tmp/dt-test-tar.XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static void remove_dir(const char *path)
{
    struct dt_err err;
    DT_AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(dt_fd_remove_tree(tmp, path + strlen("/tmp/"), &err), 0);
}

static void test_one_entry(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf b;
    struct dt_err err;
    struct dt_tar_entry e;
    char data[16];
    uint64_t at = 99;
    dt_buf_init(&b, 1 << 20);
    tb_put(&b, &(struct tb_entry){.name = "a/b",
                                  .data = "hello",
                                  .n = 5,
                                  .mode = 04755,
                                  .uid = 7,
                                  .gid = 8,
                                  .mtime = 1234567890});
    tb_end(&b);
    struct memory m = {b.p, b.n, 0, 100};
    DT_AUTO(dt_tar_free) struct dt_tar *t = open_memory(&m, true);
    assert_int_equal(dt_tar_next(t, &e, &err), 1);
    assert_int_equal(e.type, DT_TAR_FILE);
    assert_string_equal(e.path, "a/b");
    assert_string_equal(e.link, "");
    assert_int_equal(e.mode, 04755);
    assert_int_equal(e.uid, 7);
    assert_int_equal(e.gid, 8);
    assert_int_equal(e.mtime, 1234567890);
    assert_int_equal(e.size, 5);
    assert_int_equal(e.data_at, 512);
    assert_int_equal(dt_tar_data(t, data, sizeof(data), &at, &err), 5);
    assert_memory_equal(data, "hello", 5);
    assert_int_equal(at, 0);
    assert_int_equal(dt_tar_data(t, data, sizeof(data), &at, &err), 0);
    assert_int_equal(dt_tar_next(t, &e, &err), 0);
    assert_int_equal(dt_tar_next(t, &e, &err), 0);
}

static void add_pax(struct dt_buf *b, const struct dt_buf *records)
{
    tb_put(b, &(struct tb_entry){.type = 'x', .name = "pax", .data = records->p, .n = records->n});
}

static void test_pax_overrides(void **state)
{
    (void)state;
    static const char value[] = {'a', '\0', '\n', '='};
    DT_AUTO_BUF struct dt_buf b;
    DT_AUTO_BUF struct dt_buf pax;
    struct dt_err err;
    struct dt_tar_entry e;
    char name[300];
    dt_buf_init(&b, 1 << 20);
    dt_buf_init(&pax, 1 << 20);
    memset(name, 'n', sizeof(name));
    tb_record(&pax, "path", name, sizeof(name));
    tb_record(&pax, "size", "3", 1);
    tb_record(&pax, "uid", "60000", 5);
    tb_record(&pax, "gid", "4294967296", 10);
    tb_record(&pax, "mtime", "-1.25", 5);
    tb_record(&pax, "SCHILY.xattr.user.x", value, sizeof(value));
    tb_record(&pax, "comment", "ignored", 7);
    add_pax(&b, &pax);
    tb_put(&b, &(struct tb_entry){.name = "short", .data = "abc", .n = 3, .uid = 1});
    tb_put(&b, &(struct tb_entry){.name = "next"});
    tb_end(&b);
    struct memory m = {b.p, b.n, 0, 1};
    DT_AUTO(dt_tar_free) struct dt_tar *t = open_memory(&m, true);
    assert_int_equal(dt_tar_next(t, &e, &err), 1);
    assert_int_equal(strlen(e.path), sizeof(name));
    assert_int_equal(e.uid, 60000);
    assert_true(e.gid == 4294967296);
    assert_int_equal(e.mtime, -2);
    assert_int_equal(e.mtime_ns, 750000000);
    assert_int_equal(e.nxattrs, 1);
    assert_string_equal(e.xattrs[0].name, "user.x");
    assert_int_equal(e.xattrs[0].value.n, sizeof(value));
    assert_memory_equal(e.xattrs[0].value.p, value, sizeof(value));
    assert_int_equal(dt_tar_next(t, &e, &err), 1); /* it was for one entry only */
    assert_string_equal(e.path, "next");
    assert_int_equal(e.nxattrs, 0);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *field; /* 12 bytes of size */
        enum dt_err_code want;
        uint64_t size;
    } rows[] = {
        {"00000000000", DT_OK, 0},
        {"0000000000 ", DT_OK, 0},
        {"       0\0\0\0\0", DT_OK, 0},
        {"\0\0\0\0\0\0\0\0\0\0\0\0", DT_OK, 0},
        {"\200\0\0\0\0\0\0\0\0\0\0\0", DT_OK, 0},
        {"\200\0\0\0\377\377\377\377\377\377\377\377", DT_E_INVALID, 0},       /* above 2^63 */
        {"\200\0\0\1\0\0\0\0\0\0\0\0", DT_E_INVALID, 0},                       /* above 2^64 */
        {"\200\0\0\0\177\377\377\377\377\377\377\377", DT_E_LIMIT, 0},         /* 2^63 - 1 */
        {"\377\377\377\377\377\377\377\377\377\377\377\377", DT_E_INVALID, 0}, /* -1 */
        {"00000000008", DT_E_INVALID, 0},
        {"-0000000001", DT_E_INVALID, 0},
        {"0x000000001", DT_E_INVALID, 0},
        {"77777777777", DT_E_INVALID, 0}, /* right, but the data is not there */
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        DT_AUTO_BUF struct dt_buf b;
        struct dt_err err = {0};
        dt_buf_init(&b, 1 << 20);
        tb_put(&b, &(struct tb_entry){.name = "f", .size_field = rows[i].field});
        tb_end(&b);
        enum dt_err_code got = walk(dt_buf_str(&b), true, &err);
        if (got != rows[i].want)
            fail_msg("row %zu: %d '%s'", i, got, err.msg);
    }
}

static void test_bad_pax(void **state)
{
    (void)state;
    static const struct {
        const char *pax;
        size_t n;
        enum dt_err_code want;
    } rows[] = {
        {"", 0, DT_OK},
        {"11 path=abc\n", 12, DT_E_INVALID},
        {"13 path=abc\n", 12, DT_E_INVALID},
        {"12 path=abc\n", 12, DT_OK},
        {"012 path=abc\n", 13, DT_E_INVALID},
        {"12 path=abc ", 12, DT_E_INVALID},
        {"12 path abc\n", 12, DT_E_INVALID},
        {"5 =a\n", 5, DT_E_INVALID},
        {"12 path=a\0c\n", 12, DT_E_INVALID},
        {"99999999999999999999 path=abc\n", 30, DT_E_INVALID},
        {"-1 path=abc\n", 12, DT_E_INVALID},
        {"path=abc\n", 9, DT_E_INVALID},
        {"3 a", 3, DT_E_INVALID},
        {"10 uid=-1\n", 10, DT_E_INVALID},
        {"11 size=0x\n", 11, DT_E_INVALID},
        {"8 uid=\n", 7, DT_E_INVALID},
        {"7 uid=\n", 7, DT_OK},
        {"13 mtime=1.x\n", 13, DT_E_INVALID},
        {"12 mtime=1.\n", 12, DT_OK},
        {"29 size=9223372036854775807\n", 28, DT_E_INVALID},
        {"28 size=9223372036854775807\n", 28, DT_E_LIMIT},
        {"28 size=9223372036854775808\n", 28, DT_E_INVALID},
        {"21 SCHILY.xattr.=ab\n", 20, DT_E_INVALID},
        {"20 SCHILY.xattr.=ab\n", 20, DT_E_INVALID},
        {"22 GNU.sparse.major=2\n", 22, DT_E_UNSUPPORTED},
        {"22 GNU.sparse.major=1\n", 22, DT_E_INVALID},
        {"22 GNU.sparse.map=1,2\n22 GNU.sparse.size=10\n", 44, DT_E_INVALID},
        {"20 GNU.sparse.map=1\n", 20, DT_E_INVALID},
        {"26 GNU.sparse.map=5,1,2,1\n", 26, DT_E_INVALID},
        {"25 GNU.sparse.numbytes=1\n", 25, DT_E_INVALID},
        {"23 GNU.sparse.offset=1\n23 GNU.sparse.offset=2\n", 46, DT_E_INVALID},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        DT_AUTO_BUF struct dt_buf b;
        struct dt_err err = {0};
        dt_buf_init(&b, 1 << 20);
        tb_put(&b,
               &(struct tb_entry){.type = 'x', .name = "pax", .data = rows[i].pax, .n = rows[i].n});
        tb_put(&b, &(struct tb_entry){.name = "f"});
        tb_end(&b);
        enum dt_err_code got = walk(dt_buf_str(&b), true, &err);
        if (got != rows[i].want)
            fail_msg("row %zu: %d '%s'", i, got, err.msg);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct dt_err err = {0};
    char text[5000];
    DT_AUTO_BUF struct dt_buf b;
    DT_AUTO_BUF struct dt_buf pax;
    dt_buf_init(&b, 8 << 20);
    dt_buf_init(&pax, 8 << 20);
    memset(text, 'x', sizeof(text));

    tb_put(&b, &(struct tb_entry){.type = 'L', .name = "long", .data = text, .n = 4096});
    tb_put(&b, &(struct tb_entry){.name = "f"});
    tb_end(&b);
    assert_int_equal(walk(dt_buf_str(&b), true, &err), DT_OK);

    dt_buf_clear(&b);
    tb_put(&b, &(struct tb_entry){.type = 'L', .name = "long", .data = text, .n = 4097});
    assert_int_equal(walk(dt_buf_str(&b), true, &err), DT_E_INVALID);

    dt_buf_clear(&b);
    tb_put(&b, &(struct tb_entry){.type = 'x', .name = "pax", .size_field = "00004000001"});
    assert_int_equal(walk(dt_buf_str(&b), true, &err), DT_E_LIMIT);

    dt_buf_clear(&b);
    for (int i = 0; i < DT_TAR_XATTRS_MAX + 1; i++) {
        char key[64];
        (void)snprintf(key, sizeof(key), "SCHILY.xattr.user.%d", i);
        tb_record(&pax, key, "v", 1);
    }
    add_pax(&b, &pax);
    assert_int_equal(walk(dt_buf_str(&b), true, &err), DT_E_LIMIT);

    dt_buf_clear(&b);
    for (int i = 0; i < 100; i++)
        tb_put(&b, &(struct tb_entry){.type = 'L', .name = "long", .data = "name", .n = 4});
    assert_int_equal(walk(dt_buf_str(&b), true, &err), DT_E_LIMIT);
}

/* Wherever it is cut, the archive is truncated; only without need_end the end marker may be
 * missing. */
static void test_truncated_everywhere(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf b;
    DT_AUTO_BUF struct dt_buf pax;
    dt_buf_init(&b, 1 << 20);
    dt_buf_init(&pax, 1 << 20);
    tb_record(&pax, "path", "long", 4);
    add_pax(&b, &pax);
    tb_put(&b, &(struct tb_entry){.name = "f", .data = "abc", .n = 3});
    size_t whole = b.n;
    tb_end(&b);
    for (size_t n = 0; n < whole + 512; n += 7) {
        struct dt_err err = {0};
        char *exact = malloc(n + 1);
        assert_non_null(exact);
        memcpy(exact, b.p, n);
        assert_int_equal(walk(dt_str(exact, n), true, &err), DT_E_INVALID);
        assert_non_null(strstr(err.msg, "truncated"));
        free(exact);
    }
    struct dt_err err = {0};
    assert_int_equal(walk(dt_str(b.p, whole), true, &err), DT_E_INVALID);
    assert_int_equal(walk(dt_str(b.p, whole), false, &err), DT_OK);
    assert_int_equal(walk(dt_str(b.p, whole + 512), true, &err), DT_OK);
}

static void test_damaged_header(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf b;
    struct dt_err err = {0};
    dt_buf_init(&b, 1 << 20);
    tb_put(&b, &(struct tb_entry){.name = "f"});
    tb_end(&b);
    b.p[3] = 'x';
    assert_int_equal(walk(dt_buf_str(&b), true, &err), DT_E_INVALID);
    assert_string_equal(err.msg, "no tar archive, or a damaged one: bad checksum at byte 0");
    dt_buf_clear(&b);
    tb_put(&b, &(struct tb_entry){.type = 'M', .name = "volume"});
    assert_int_equal(walk(dt_buf_str(&b), true, &err), DT_E_UNSUPPORTED);
    dt_buf_clear(&b);
    tb_put(&b, &(struct tb_entry){.name = ""});
    assert_int_equal(walk(dt_buf_str(&b), true, &err), DT_E_INVALID);
}

/* The first file of the archive, with its holes, as it would be on disk. */
static char *first_file(struct dt_str archive, size_t *size, bool *sparse)
{
    struct memory m = {archive.p, archive.n, 0, 4096};
    DT_AUTO(dt_tar_free) struct dt_tar *t = open_memory(&m, true);
    struct dt_tar_entry e;
    struct dt_err err = {0};
    do
        assert_int_equal(dt_tar_next(t, &e, &err), 1);
    while (e.type != DT_TAR_FILE);
    char *file = calloc(1, e.size + 1);
    assert_non_null(file);
    char buf[1000];
    uint64_t at = 0;
    ssize_t n;
    while ((n = dt_tar_data(t, buf, sizeof(buf), &at, &err)) > 0) {
        assert_true(at + (uint64_t)n <= e.size);
        memcpy(file + at, buf, (size_t)n);
    }
    assert_int_equal(n, 0);
    *size = e.size;
    *sparse = e.sparse;
    return file;
}

/* What GNU tar writes, in each of its formats, against the file it was made of. */
static void test_gnu_tar_formats(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        bool sparse;
    } rows[] = {
        {"--format=v7", false},
        {"--format=ustar", false},
        {"--format=gnu", false},
        {"--format=oldgnu", false},
        {"--format=pax", false},
        {"--format=gnu --sparse", true},
        {"--format=pax --sparse --sparse-version=0.0", true},
        {"--format=pax --sparse --sparse-version=0.1", true},
        {"--format=pax --sparse --sparse-version=1.0", true},
    };
    char dir[64];
    char command[512];
    (void)temp_dir(dir);
    (void)snprintf(
        command, sizeof(command),
        "cd %s && for i in 0 1 2 3 4 5 6 7 8 9 30 31 90; do printf \"data $i\" | dd of=f bs=1 "
        "seek=$((i * 65536 + 17)) conv=notrunc status=none; done && truncate -s 9000000 f",
        dir);
    run(command);
    DT_AUTO_BUF struct dt_buf want;
    struct dt_err err = {0};
    char path[96];
    dt_buf_init(&want, 16 << 20);
    (void)snprintf(path, sizeof(path), "%s/f", dir);
    assert_int_equal(dt_fd_read_file(AT_FDCWD, path, &want, &err), 0);
    for (size_t i = 0; i < ROWS(rows); i++) {
        DT_AUTO_BUF struct dt_buf b;
        size_t size = 0;
        bool sparse = false;
        dt_buf_init(&b, 16 << 20);
        (void)snprintf(command, sizeof(command), "tar -C %s %s -cf %s/t f", dir, rows[i].options,
                       dir);
        run(command);
        (void)snprintf(path, sizeof(path), "%s/t", dir);
        assert_int_equal(dt_fd_read_file(AT_FDCWD, path, &b, &err), 0);
        char *file = first_file(dt_buf_str(&b), &size, &sparse);
        assert_int_equal(sparse, rows[i].sparse);
        assert_int_equal(size, want.n);
        assert_memory_equal(file, want.p, size);
        free(file);
    }
    remove_dir(dir);
}

static void test_long_names_of_gnu_tar(void **state)
{
    (void)state;
    static const char *const formats[] = {"ustar", "gnu", "pax"};
    char dir[64];
    char command[1024];
    (void)temp_dir(dir);
    for (size_t i = 0; i < ROWS(formats); i++) {
        DT_AUTO_BUF struct dt_buf b;
        struct dt_err err = {0};
        char path[96];
        char a[81];
        char want[256];
        memset(a, 'a', 80);
        a[80] = '\0';
        (void)snprintf(want, sizeof(want), "%s/%s", a, a);
        (void)snprintf(command, sizeof(command),
                       "cd %s && rm -rf %s && mkdir %s && ln -s target %s && "
                       "tar --format=%s -cf t %s",
                       dir, a, a, want, formats[i], want);
        run(command);
        dt_buf_init(&b, 1 << 20);
        (void)snprintf(path, sizeof(path), "%s/t", dir);
        assert_int_equal(dt_fd_read_file(AT_FDCWD, path, &b, &err), 0);
        struct memory m = {b.p, b.n, 0, 512};
        DT_AUTO(dt_tar_free) struct dt_tar *t = open_memory(&m, true);
        struct dt_tar_entry e;
        assert_int_equal(dt_tar_next(t, &e, &err), 1);
        assert_string_equal(e.path, want);
        assert_int_equal(e.type, DT_TAR_SYMLINK);
        assert_string_equal(e.link, "target");
    }
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_entry),
        cmocka_unit_test(test_pax_overrides),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_bad_pax),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_truncated_everywhere),
        cmocka_unit_test(test_damaged_header),
        cmocka_unit_test(test_gnu_tar_formats),
        cmocka_unit_test(test_long_names_of_gnu_tar),
    };
    return cmocka_run_group_tests_name("tar", tests, NULL, NULL);
}
