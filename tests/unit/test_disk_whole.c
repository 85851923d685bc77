/* Disks as a whole: saved and loaded, copied while in use, grown. Needs root and loop devices, or
 * project quotas on /var/tmp. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "os/disk.h"
#include "os/zfile.h"
#include "tree_text.h"

enum { DEADLINE_MS = 60000 };
#define MIB (1ULL << 20)

struct fixture {
    char path[64];
    int data, from, to;
    struct dt_disk_store *store;
};

static int folder(const struct fixture *f, const char *name)
{
    assert_int_equal(mkdirat(f->data, name, 0711), 0);
    return openat(f->data, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int setup(void **state)
{
    static struct fixture f;
    struct dt_err err;
    (void)snprintf(f.path, sizeof(f.path), "/var/tmp/dt-disk-XXXXXX");
    if (mkdtemp(f.path) == NULL)
        return -1;
    f.data = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dt_disk_store_open(f.data, &f.store, &err) < 0)
        fail_msg("%s", err.msg);
    f.from = folder(&f, "from");
    f.to = folder(&f, "to");
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    f->store = dt_disk_store_free(f->store);
    (void)close(f->from);
    (void)close(f->to);
    (void)close(f->data);
    int top = open("/var/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dt_fd_remove_tree(top, f->path + sizeof("/var/tmp"), &err) < 0)
        fail_msg("%s", err.msg);
    return close(top);
}

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fail_msg("%s: %s", #call, err.msg);                                                    \
    } while (0)

static bool has_images(const struct fixture *f)
{
    return strcmp(dt_disk_driver(f->store), "loop") == 0;
}

static void remove_disk(const struct fixture *f, int sandbox)
{
    struct dt_err err;
    OK(dt_fd_remove_tree(sandbox, has_images(f) ? "disk.img" : "disk", &err));
}

static int mount_in(const struct fixture *f, int sandbox)
{
    struct dt_err err;
    int fd = -1;
    OK(dt_disk_mount(f->store, sandbox, &fd, &err));
    return fd;
}

static void unmount(const struct fixture *f, int sandbox, int fd)
{
    struct dt_err err;
    (void)close(fd);
    OK(dt_disk_wait_free(f->store, sandbox, dt_clock_ms() + DEADLINE_MS, &err));
}

static char *upper_text(const struct fixture *f, int sandbox)
{
    int fd = mount_in(f, sandbox);
    char *text = tree_text(fd, "upper");
    unmount(f, sandbox, fd);
    return text;
}

/* A disk in f->from with one of everything; returns its text. */
static char *make_full(const struct fixture *f)
{
    struct dt_err err;
    OK(dt_disk_make(f->store, f->from, 64 * MIB, 0, &err));
    int fd = mount_in(f, f->from);
    int upper = openat(fd, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tree_fill(upper);
    (void)close(upper);
    unmount(f, f->from, fd);
    return upper_text(f, f->from);
}

static int archive(const struct fixture *f)
{
    struct dt_err err;
    int fd = openat(f->data, "archive", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    OK(dt_disk_save(f->from, fd, NULL, &err));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void count(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void test_a_saved_disk_comes_back_bit_for_bit(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct stat saved;
    unsigned pulses = 0;
    const struct dt_disk_pulse pulse = {count, &pulses};
    DT_AUTO_FREE char *before = make_full(f);
    OK(dt_disk_trim(f->store, f->from, &err));
    DT_AUTO_FD int fd = archive(f);
    assert_int_equal(fstat(fd, &saved), 0);
    assert_true(saved.st_size < 2 * (off_t)MIB && saved.st_size > 1000);
    OK(dt_disk_compare(f->from, fd, &pulse, &err));
    assert_true(pulses > 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    OK(dt_disk_load(f->store, f->to, fd, NULL, &err));
    DT_AUTO_FREE char *after = upper_text(f, f->to);
    assert_string_equal(after, before);
    assert_non_null(strstr(before, "trusted.overlay.redirect"));
    assert_int_equal(dt_disk_load(f->store, f->to, fd, NULL, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
}

static void test_a_loaded_image_has_the_same_holes(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct stat image, copy;
    if (!has_images(f))
        return;
    free(make_full(f));
    OK(dt_disk_trim(f->store, f->from, &err));
    DT_AUTO_FD int fd = archive(f);
    assert_int_equal(fstatat(f->from, "disk.img", &image, 0), 0);
    OK(dt_disk_load(f->store, f->to, fd, NULL, &err));
    assert_int_equal(fstatat(f->to, "disk.img", &copy, 0), 0);
    assert_int_equal(copy.st_size, image.st_size);
    assert_true(copy.st_blocks <= image.st_blocks + 64);
}

/* A changed bit is found, unless it is one that means nothing, and so is a missing end. */
static void test_damage_is_found(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct stat st;
    unsigned found = 0;
    DT_AUTO_FREE char *before = make_full(f);
    DT_AUTO_FD int fd = archive(f);
    assert_int_equal(fstat(fd, &st), 0);
    for (off_t at = 0; at < st.st_size; at += at < 64 ? 1 : 397) {
        unsigned char c, changed;
        assert_int_equal(pread(fd, &c, 1, at), 1);
        changed = c ^ (unsigned char)(1 << at % 8);
        assert_int_equal(pwrite(fd, &changed, 1, at), 1);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        if (dt_disk_load(f->store, f->to, fd, NULL, &err) == 0) {
            DT_AUTO_FREE char *after = upper_text(f, f->to);
            assert_string_equal(after, before);
            remove_disk(f, f->to);
        } else {
            assert_int_equal(err.code, DT_E_INVALID);
            found++;
        }
        assert_false(dt_disk_exists(f->to));
        assert_int_equal(pwrite(fd, &c, 1, at), 1);
    }
    assert_true(found > 50);
    for (off_t end = 0; end < st.st_size; end += end < 64 ? 1 : 1021) {
        assert_int_equal(ftruncate(fd, end), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(dt_disk_load(f->store, f->to, fd, NULL, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        (void)close(dt_take_fd(&fd));
        fd = archive(f);
    }
    assert_int_equal(lseek(fd, 0, SEEK_END), st.st_size);
    assert_int_equal(write(fd, "more", 4), 4);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(dt_disk_load(f->store, f->to, fd, NULL, &err), -1);
}

static void put64(unsigned char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (unsigned char)(v >> (8 * i));
}

/* A stream with good checksums whose numbers make no sense. */
static void test_impossible_archives(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    static const uint64_t size = 64 * MIB;
    static const struct {
        uint64_t size, offset, length;
        unsigned char kind;
    } rows[] = {
        {0, 0, 0, 1},           {size + 1, 0, 0, 1},         {UINT64_MAX, 0, 0, 1},
        {size, 0, 0, 1},        {size, size + 4096, 0, 1},   {size, size, 4096, 1},
        {size, 0, size + 1, 1}, {size, 4096, UINT64_MAX, 1}, {size, size, 0, 9},
    };
    if (!has_images(f))
        return;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        unsigned char head[48] = "DTDISK1\n";
        DT_AUTO(dt_zfile_writer_free) struct dt_zfile_writer *w = NULL;
        DT_AUTO_FD int fd = openat(f->data, "bad", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        head[8] = rows[i].kind;
        put64(head + 16, rows[i].size);
        put64(head + 32, rows[i].offset);
        put64(head + 40, rows[i].length);
        OK(dt_zfile_writer_new(fd, &w, &err));
        OK(dt_zfile_write(w, head, sizeof(head), &err));
        OK(dt_zfile_finish(w, &err));
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(dt_disk_load(f->store, f->to, fd, NULL, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        assert_false(dt_disk_exists(f->to));
    }
}

static void test_comparing_finds_differences(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    if (!has_images(f))
        return;
    free(make_full(f));
    DT_AUTO_FD int fd = archive(f);
    /* In what was data, and in what was a hole. */
    static const off_t places[] = {1024 + 0x78, 63 * (off_t)MIB};
    for (size_t i = 0; i < 2; i++) {
        DT_AUTO_FD int image = openat(f->from, "disk.img", O_RDWR | O_CLOEXEC);
        unsigned char c = 0, other;
        assert_int_equal(pread(image, &c, 1, places[i]), 1);
        other = c ^ 1;
        assert_int_equal(pwrite(image, &other, 1, places[i]), 1);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(dt_disk_compare(f->from, fd, NULL, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        assert_int_equal(pwrite(image, &c, 1, places[i]), 1);
    }
}

static void test_a_full_disk_says_so(void **state)
{
    struct fixture *f = *state;
    struct dt_err err = {.code = DT_OK};
    free(make_full(f));
    DT_AUTO_FD int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(dt_disk_save(f->from, fd, NULL, &err), -1);
    assert_int_equal(err.code, DT_E_LIMIT);
}

/* While it is mounted and nobody writes: what was written a moment ago is in the copy. */
static void test_a_copy_of_a_disk_in_use(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    OK(dt_disk_make(f->store, f->from, 64 * MIB, 0, &err));
    int fd = mount_in(f, f->from);
    int upper = openat(fd, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tree_fill(upper);
    (void)close(upper);
    DT_AUTO_FREE char *before = tree_text(fd, "upper");
    OK(dt_disk_sync(f->store, f->from, &err));
    OK(dt_disk_copy(f->store, f->from, f->to, NULL, &err));
    DT_AUTO_FREE char *copied = upper_text(f, f->to);
    assert_string_equal(copied, before);
    DT_AUTO_FREE char *still = tree_text(fd, "upper");
    assert_string_equal(still, before);
    unmount(f, f->from, fd);
    assert_int_equal(dt_disk_copy(f->store, f->from, f->to, NULL, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    OK(dt_disk_sync(f->store, f->from, &err)); /* nobody has it: fine */
}

static void test_disks_grow(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct statfs fs;
    DT_AUTO_FREE char *before = make_full(f);
    static const uint64_t sizes[] = {65 * MIB, 2048 * MIB, 2048 * MIB, 1ULL << 40};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        OK(dt_disk_grow(f->store, f->from, sizes[i], NULL, &err));
        DT_AUTO_FREE char *after = upper_text(f, f->from);
        assert_string_equal(after, before);
        int fd = mount_in(f, f->from);
        assert_int_equal(fstatfs(fd, &fs), 0);
        assert_true((uint64_t)fs.f_blocks * 4096 > sizes[i] / 100 * 80);
        assert_true((uint64_t)fs.f_files >= sizes[i] / 32768);
        unmount(f, f->from, fd);
    }
    assert_int_equal(dt_disk_grow(f->store, f->from, 64 * MIB, NULL, &err), -1);
    assert_int_equal(err.code, DT_E_INVALID);
    if (!has_images(f))
        return; /* quotas grow at any time */
    int fd = mount_in(f, f->from);
    assert_int_equal(dt_disk_grow(f->store, f->from, 2ULL << 40, NULL, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    unmount(f, f->from, fd);
    DT_AUTO_FREE char *after = upper_text(f, f->from);
    assert_string_equal(after, before);
}

/* Killed at any moment, growing leaves a disk of the old or of the new size. */
static void test_growing_is_killed(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct stat st;
    if (!has_images(f))
        return;
    DT_AUTO_FREE char *before = make_full(f);
    for (unsigned i = 0, size = 64; i < 12; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(dt_disk_grow(f->store, f->from, (size + 1) * MIB, NULL, &err) < 0);
        (void)usleep(i * 4000);
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        OK(dt_disk_wait_free(f->store, f->from, dt_clock_ms() + DEADLINE_MS, &err));
        DT_AUTO_FREE char *after = upper_text(f, f->from);
        assert_string_equal(after, before);
        assert_int_equal(fstatat(f->from, "disk.img", &st, 0), 0);
        assert_true(st.st_size == (off_t)(size * MIB) || st.st_size == (off_t)((size + 1) * MIB));
        size = (unsigned)((uint64_t)st.st_size / MIB);
    }
}

static void test_trim_gives_back(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct stat full, trimmed;
    static char block[MIB];
    if (!has_images(f))
        return;
    OK(dt_disk_make(f->store, f->from, 64 * MIB, 0, &err));
    int fd = mount_in(f, f->from);
    DT_AUTO_FD int big = openat(fd, "upper/big", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    memset(block, 0x5a, sizeof(block));
    for (int i = 0; i < 32; i++)
        assert_int_equal(write(big, block, sizeof(block)), sizeof(block));
    assert_int_equal(fsync(big), 0);
    assert_int_equal(unlinkat(fd, "upper/big", 0), 0);
    assert_int_equal(dt_disk_trim(f->store, f->from, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    (void)close(dt_take_fd(&big));
    unmount(f, f->from, fd);
    assert_int_equal(fstatat(f->from, "disk.img", &full, 0), 0);
    OK(dt_disk_trim(f->store, f->from, &err));
    assert_int_equal(fstatat(f->from, "disk.img", &trimmed, 0), 0);
    assert_true(trimmed.st_blocks * 512 + 30 * (off_t)MIB < full.st_blocks * 512);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_saved_disk_comes_back_bit_for_bit),
        TEST(test_a_loaded_image_has_the_same_holes),
        TEST(test_damage_is_found),
        TEST(test_impossible_archives),
        TEST(test_comparing_finds_differences),
        TEST(test_a_full_disk_says_so),
        TEST(test_a_copy_of_a_disk_in_use),
        TEST(test_disks_grow),
        TEST(test_growing_is_killed),
        TEST(test_trim_gives_back),
    };
    return cmocka_run_group_tests_name("disk_whole", tests, NULL, NULL);
}
