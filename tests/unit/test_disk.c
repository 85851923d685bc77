#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "os/disk.h"

enum { DEADLINE_MS = 60000 };
#define MIB (1ULL << 20)

struct fixture {
    char path[64];
    int data, sandbox;
    struct dt_disk_store *store;
};

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
    if (mkdirat(f.data, "sandbox", 0711) < 0)
        return -1;
    f.sandbox = openat(f.data, "sandbox", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = &f;
    return f.sandbox < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    f->store = dt_disk_store_free(f->store);
    (void)close(f->sandbox);
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

static int make_and_mount(struct fixture *f, uint64_t bytes, uint64_t inodes)
{
    struct dt_err err;
    int fd = -1;
    OK(dt_disk_make(f->store, f->sandbox, bytes, inodes, &err));
    OK(dt_disk_mount(f->store, f->sandbox, &fd, &err));
    return fd;
}

/* Closes the mount and waits until the loop device has let go. */
static void unmount(struct fixture *f, int fd)
{
    struct dt_err err;
    (void)close(fd);
    OK(dt_disk_wait_free(f->store, f->sandbox, dt_clock_ms() + DEADLINE_MS, &err));
}

static void test_a_disk_has_its_folders(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct stat st;
    assert_false(dt_disk_exists(f->sandbox));
    int fd = make_and_mount(f, 64 * MIB, 0);
    assert_true(dt_disk_exists(f->sandbox));
    static const char *const folders[] = {"upper", "work"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(fstatat(fd, folders[i], &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_mode, S_IFDIR | 0755);
        assert_int_equal(st.st_uid, 0);
    }
    int again = -1;
    assert_int_equal(dt_disk_make(f->store, f->sandbox, 64 * MIB, 0, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    assert_int_equal(dt_disk_mount(f->store, f->sandbox, &again, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    assert_int_equal(again, -1);
    unmount(f, fd);
}

static int put_file(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, text, strlen(text));
    (void)close(fd);
    return n < 0 ? -1 : 0;
}

/* upper/ stays over a restart, work/ and overlay's mark of a volatile mount do not. */
static void test_what_stays(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct stat st;
    int fd = make_and_mount(f, 64 * MIB, 0);
    assert_int_equal(put_file(fd, "upper/kept", "x"), 0);
    assert_int_equal(mkdirat(fd, "work/work", 0), 0);
    assert_int_equal(mkdirat(fd, "work/incompat", 0), 0);
    assert_int_equal(mkdirat(fd, "work/incompat/volatile", 0), 0);
    assert_int_equal(fchmodat(fd, "upper", 0700, 0), 0);
    unmount(f, fd);
    OK(dt_disk_mount(f->store, f->sandbox, &fd, &err));
    assert_int_equal(fstatat(fd, "upper/kept", &st, 0), 0);
    assert_int_equal(fstatat(fd, "work/work", &st, 0), -1);
    assert_int_equal(fstatat(fd, "work/incompat", &st, 0), -1);
    assert_int_equal(fstatat(fd, "work", &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0755);
    assert_int_equal(fstatat(fd, "upper", &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0700);
    unmount(f, fd);
}

static void test_bytes_are_limited(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct dt_disk_usage usage;
    static char block[MIB];
    int fd = make_and_mount(f, 64 * MIB, 0);
    int file = openat(fd, "upper/big", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    uint64_t written = 0;
    assert_true(file >= 0);
    memset(block, 0xa5, sizeof(block));
    for (;;) {
        ssize_t n = write(file, block, sizeof(block));
        if (n < 0)
            break;
        written += (uint64_t)n;
        assert_true(written <= 64 * MIB);
    }
    assert_int_equal(errno, ENOSPC);
    assert_true(written > 48 * MIB);
    assert_int_equal(fsync(file), 0);
    (void)close(file);
    OK(dt_disk_usage(f->store, f->sandbox, fd, &usage, &err));
    assert_true(usage.used_bytes >= written && usage.total_bytes <= 64 * MIB);
    assert_true(usage.host_bytes >= written && usage.host_bytes <= 64 * MIB);
    unmount(f, fd);
    OK(dt_disk_usage(f->store, f->sandbox, -1, &usage, &err));
    assert_true(usage.used_bytes == usage.host_bytes && usage.total_bytes == 64 * MIB);
}

static void test_inodes_are_limited(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct dt_disk_usage usage;
    int fd = make_and_mount(f, 64 * MIB, 1024);
    unsigned made = 0;
    for (;; made++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "upper/%u", made);
        if (put_file(fd, name, "") < 0)
            break;
        assert_true(made < 2000);
    }
    assert_int_equal(errno, ENOSPC);
    assert_true(made > 900);
    OK(dt_disk_usage(f->store, f->sandbox, fd, &usage, &err));
    assert_true(usage.total_inodes >= 1024 && usage.total_inodes < 1100);
    assert_int_equal(usage.used_inodes, usage.total_inodes);
    unmount(f, fd);
}

static void test_sizes(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint64_t bytes, inodes;
    } rows[] = {
        {0, 0},        {DT_DISK_MIN_BYTES - 1, 0}, {DT_DISK_MAX_BYTES + 1, 0}, {UINT64_MAX, 0},
        {64 * MIB, 1}, {64 * MIB, 16385},          {64 * MIB, UINT64_MAX}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_err err;
        assert_int_equal(dt_disk_make(f->store, f->sandbox, rows[i].bytes, rows[i].inodes, &err),
                         -1);
        assert_int_equal(err.code, DT_E_INVALID);
    }
    assert_false(dt_disk_exists(f->sandbox));
}

/* The whole range works, and none of it takes space on the host. */
static void test_large_disks(void **state)
{
    struct fixture *f = *state;
    static const uint64_t rows[] = {100 * MIB + 1, 10240 * MIB, 1ULL << 40, DT_DISK_MAX_BYTES / 4};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_err err;
        struct dt_disk_usage usage;
        struct statfs fs;
        int fd = make_and_mount(f, rows[i], 0);
        assert_int_equal(fstatfs(fd, &fs), 0);
        assert_true((uint64_t)fs.f_blocks * 4096 > rows[i] / 100 * 80);
        OK(dt_disk_usage(f->store, f->sandbox, fd, &usage, &err));
        assert_true(usage.host_bytes < 64 * MIB);
        unmount(f, fd);
        assert_int_equal(unlinkat(f->sandbox, "disk.img", 0), 0);
    }
}

static void test_without_a_disk(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct dt_disk_usage usage;
    bool in_use;
    int fd = -1;
    assert_int_equal(dt_disk_mount(f->store, f->sandbox, &fd, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    assert_int_equal(dt_disk_in_use(f->store, f->sandbox, &in_use, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    assert_int_equal(dt_disk_usage(f->store, f->sandbox, -1, &usage, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    /* A disk that a power failure has emptied. */
    assert_int_equal(put_file(f->sandbox, "disk.img", "nothing"), 0);
    assert_int_equal(dt_disk_mount(f->store, f->sandbox, &fd, &err), -1);
    assert_int_equal(fd, -1);
    /* A link to somewhere else is not followed. */
    assert_int_equal(unlinkat(f->sandbox, "disk.img", 0), 0);
    assert_int_equal(symlinkat("/dev/zero", f->sandbox, "disk.img"), 0);
    assert_false(dt_disk_exists(f->sandbox));
    assert_int_equal(dt_disk_mount(f->store, f->sandbox, &fd, &err), -1);
}

/* The number of the loop device that has a file of this data directory, or -1. */
static int find_loop(const struct fixture *f)
{
    for (int i = 0; i < 1024; i++) {
        char path[64];
        struct dt_err err;
        struct dt_buf DT_AUTO_BUF text;
        dt_buf_init(&text, 4096);
        (void)snprintf(path, sizeof(path), "/sys/block/loop%d/loop/backing_file", i);
        if (dt_fd_read_file(AT_FDCWD, path, &text, &err) == 0 && text.n > 0 &&
            strstr(text.p, f->path) != NULL)
            return i;
    }
    return -1;
}

static bool is_in_mount_table(int loop)
{
    struct dt_err err;
    struct dt_buf DT_AUTO_BUF text;
    char source[32];
    dt_buf_init(&text, 4 << 20);
    OK(dt_fd_read_file(AT_FDCWD, "/proc/self/mountinfo", &text, &err));
    (void)snprintf(source, sizeof(source), " /dev/loop%d ", loop);
    return strstr(text.p, source) != NULL;
}

static void test_nothing_is_left_after_a_kill(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    bool in_use;
    int fds[2], status;
    char c;
    OK(dt_disk_make(f->store, f->sandbox, 64 * MIB, 0, &err));
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = -1;
        if (dt_disk_mount(f->store, f->sandbox, &fd, &err) < 0 ||
            put_file(fd, "upper/x", "written, not synced") < 0)
            _exit(1);
        if (write(fds[1], "r", 1) == 1)
            (void)pause();
        _exit(1);
    }
    (void)close(fds[1]);
    assert_int_equal(read(fds[0], &c, 1), 1);
    (void)close(fds[0]);
    OK(dt_disk_in_use(f->store, f->sandbox, &in_use, &err));
    assert_true(in_use);
    int loop = find_loop(f);
    assert_true(loop >= 0);
    assert_false(is_in_mount_table(loop));
    assert_int_equal(dt_disk_wait_free(f->store, f->sandbox, dt_clock_ms() + 20, &err), -1);
    assert_int_equal(err.code, DT_E_TIMEOUT);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    OK(dt_disk_wait_free(f->store, f->sandbox, dt_clock_ms() + DEADLINE_MS, &err));
    OK(dt_disk_in_use(f->store, f->sandbox, &in_use, &err));
    assert_false(in_use);
    assert_int_equal(find_loop(f), -1);

    int fd = -1;
    struct stat st;
    OK(dt_disk_mount(f->store, f->sandbox, &fd, &err));
    assert_int_equal(fstatat(fd, "upper/x", &st, 0), 0);
    assert_int_equal(st.st_size, 19);
    unmount(f, fd);
}

/* Copies the image while it is mounted: what a power failure would leave. */
static void test_an_unclean_image_is_repaired_by_its_journal(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct stat st;
    int fd = make_and_mount(f, 64 * MIB, 0);
    assert_int_equal(put_file(fd, "upper/synced", "x"), 0);
    int dir = openat(fd, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(syncfs(dir), 0);
    assert_int_equal(put_file(fd, "upper/journalled", "y"), 0);
    int file = openat(fd, "upper/journalled", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fsync(file), 0);
    (void)close(file);
    (void)close(dir);

    int from = openat(f->sandbox, "disk.img", O_RDONLY | O_CLOEXEC);
    int to = openat(f->data, "copy", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fstat(from, &st), 0);
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, (size_t)left, 0);
        assert_true(n > 0);
        left -= n;
    }
    (void)close(to);
    (void)close(from);
    unmount(f, fd);

    assert_int_equal(renameat(f->data, "copy", f->sandbox, "disk.img"), 0);
    unsigned char flags = 0;
    from = openat(f->sandbox, "disk.img", O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(from, &flags, 1, 1024 + 0x60), 1);
    assert_true((flags & 4) != 0); /* needs_recovery */
    (void)close(from);
    OK(dt_disk_mount(f->store, f->sandbox, &fd, &err));
    assert_int_equal(fstatat(fd, "upper/synced", &st, 0), 0);
    assert_int_equal(fstatat(fd, "upper/journalled", &st, 0), 0);
    unmount(f, fd);
}

/* The state says that there are errors: e2fsck clears it, or the mount fails. */
static void test_an_image_with_errors_is_checked(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    unsigned char flag = 1 | 2;
    unmount(f, make_and_mount(f, 64 * MIB, 0));
    int image = openat(f->sandbox, "disk.img", O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(image, &flag, 1, 1024 + 0x3a), 1);
    (void)close(image);
    int fd = -1;
    OK(dt_disk_mount(f->store, f->sandbox, &fd, &err));
    unmount(f, fd);
    image = openat(f->sandbox, "disk.img", O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(image, &flag, 1, 1024 + 0x3a), 1);
    (void)close(image);
    assert_int_equal(flag, 1);
}

static void test_devices_do_nothing_on_a_disk(void **state)
{
    struct fixture *f = *state;
    int fd = make_and_mount(f, 64 * MIB, 0);
    assert_int_equal(mknodat(fd, "upper/zero", S_IFCHR | 0666, 0x105), 0);
    assert_int_equal(openat(fd, "upper/zero", O_RDONLY | O_CLOEXEC), -1);
    assert_int_equal(errno, EACCES);
    struct statfs fs;
    assert_int_equal(fstatfs(fd, &fs), 0);
    assert_int_equal(fs.f_flags & ST_NOSUID, 0);
    assert_true((fs.f_flags & ST_NOATIME) != 0);
    unmount(f, fd);
}

static bool sees(int dir, const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void test_a_shared_disk_is_one_file_system(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    int one = -1, two = -1;
    bool in_use = false;
    OK(dt_disk_make(f->store, f->sandbox, 64 * MIB, 0, &err));
    OK(dt_disk_share(f->store, f->sandbox, &one, &err));
    OK(dt_disk_share(f->store, f->sandbox, &two, &err));
    assert_int_equal(put_file(one, "of-one", "x"), 0);
    assert_true(sees(two, "of-one"));
    (void)close(one);
    assert_int_equal(put_file(two, "of-two", "x"), 0);
    OK(dt_disk_share(f->store, f->sandbox, &one, &err));
    assert_true(sees(one, "of-two"));
    (void)close(two);
    OK(dt_disk_in_use(f->store, f->sandbox, &in_use, &err));
    assert_true(in_use || strcmp(dt_disk_driver(f->store), "project") == 0);
    unmount(f, one);
    OK(dt_disk_share(f->store, f->sandbox, &one, &err));
    assert_true(sees(one, "of-one") && sees(one, "of-two"));
    unmount(f, one);
}

/* The last mount goes away at the very moment when another is wanted. */
static void test_a_shared_disk_that_just_ends(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    int fd = -1, next = -1;
    OK(dt_disk_make(f->store, f->sandbox, 64 * MIB, 0, &err));
    OK(dt_disk_share(f->store, f->sandbox, &fd, &err));
    for (int i = 0; i < 60; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "f%d", i);
        assert_int_equal(put_file(fd, name, "x"), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            (void)usleep((useconds_t)i * 100);
            _exit(0); /* with its copy of the mount */
        }
        (void)close(fd);
        OK(dt_disk_share(f->store, f->sandbox, &next, &err));
        assert_true(sees(next, name));
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        fd = next;
    }
    assert_true(sees(fd, "f0"));
    unmount(f, fd);
}

/* What is written beside the image is a hint, no more: another device's name does no harm. */
static void test_a_wrong_name_is_not_believed(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    static const char *const wrong[] = {
        "",          "/dev/loop",        "/dev/loop0 ", "/dev/loop99999999999999",
        "/dev/null", "/dev/loop1048575", "/etc/passwd"};
    if (strcmp(dt_disk_driver(f->store), "loop") != 0)
        return; /* projects have no device */
    OK(dt_disk_make(f->store, f->sandbox, 64 * MIB, 0, &err));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        int fd = -1;
        OK(dt_fd_replace(f->sandbox, "device", wrong[i], strlen(wrong[i]), 0600, &err));
        OK(dt_disk_share(f->store, f->sandbox, &fd, &err));
        unmount(f, fd);
    }
    int fd = -1, none = -1;
    OK(dt_disk_share(f->store, f->sandbox, &fd, &err));
    OK(dt_fd_replace(f->sandbox, "device", "/dev/loop1048575", 16, 0600, &err));
    assert_int_equal(dt_disk_share(f->store, f->sandbox, &none, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    assert_int_equal(none, -1);
    unmount(f, fd);
}

/* A file system that is full, or gone: an error, and nothing is left. */
static void test_a_failed_make_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    OK(dt_disk_prepare(f->store, 64 * MIB, 0, &err));
    (void)close(f->sandbox);
    assert_int_equal(unlinkat(f->data, "sandbox", AT_REMOVEDIR), 0);
    f->sandbox = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(dt_disk_make(f->store, f->sandbox, 64 * MIB, 0, &err), -1);
    assert_int_not_equal(err.msg[0], '\0');
    assert_false(dt_disk_exists(f->sandbox));
}

static void test_speed(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    uint64_t make = UINT64_MAX, mount = UINT64_MAX;
    OK(dt_disk_prepare(f->store, 10240 * MIB, 0, &err));
    for (int i = 0; i < 10; i++) {
        int fd = -1;
        uint64_t start = dt_clock_ns();
        OK(dt_disk_make(f->store, f->sandbox, 10240 * MIB, 0, &err));
        uint64_t made = dt_clock_ns();
        OK(dt_disk_mount(f->store, f->sandbox, &fd, &err));
        uint64_t mounted = dt_clock_ns();
        make = made - start < make ? made - start : make;
        mount = mounted - made < mount ? mounted - made : mount;
        unmount(f, fd);
        assert_int_equal(unlinkat(f->sandbox, "disk.img", 0), 0);
    }
    print_message("best of 10: make %llu us, mount %llu us\n", (unsigned long long)make / 1000,
                  (unsigned long long)mount / 1000);
    assert_true(make < 2000000000 && mount < 2000000000); /* it is not written: that takes longer */
}

static bool has_loop(unsigned nr)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/sys/block/loop%u", nr);
    return access(path, F_OK) == 0;
}

static int open_loop(unsigned nr, int flags)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/dev/loop%u", nr);
    return open(path, flags | O_CLOEXEC);
}

static enum dt_err_code sweep(struct fixture *f, unsigned nr, unsigned most)
{
    struct dt_err err;
    return dt_disk_spare(f->store, nr, nr + 2, most, &err) == 0 ? DT_OK : err.code;
}

/* Three devices: one is held open, one has a disk, one nobody uses. */
static bool only_unused_ones_go(struct fixture *f, int control, int image, unsigned nr)
{
    const struct loop_config config = {
        .fd = (uint32_t)image, .info.lo_flags = LO_FLAGS_AUTOCLEAR}; /* if this test fails */
    for (unsigned i = 0; i < 3; i++)
        assert_true(ioctl(control, LOOP_CTL_ADD, nr + i) >= 0 || errno == EEXIST);
    int first = open_loop(nr, O_RDONLY), used = open_loop(nr + 1, O_RDWR);
    int held = open_loop(nr + 2, O_RDONLY);
    bool ok = ioctl(used, LOOP_CONFIGURE, &config) == 0;
    /* Those that cannot go do not count: who asks again at once while there is progress, stops. */
    ok = ok && sweep(f, nr, 1) == DT_E_CONFLICT;
    (void)close(first);
    ok = ok && sweep(f, nr, 8) == DT_E_CONFLICT;
    ok = ok && !has_loop(nr) && has_loop(nr + 1) && has_loop(nr + 2);
    (void)close(held);
    ok = ok && sweep(f, nr, 0) == DT_E_LIMIT && sweep(f, nr, 8) == DT_OK;
    ok = ok && has_loop(nr + 1) && !has_loop(nr + 2);
    ok = ok && ioctl(used, LOOP_CLR_FD) == 0;
    (void)close(used);
    uint64_t end_ms = dt_clock_ms() + DEADLINE_MS;
    while (ok && has_loop(nr + 1) && dt_clock_ms() < end_ms)
        ok = sweep(f, nr, 8) == DT_OK;
    return ok && !has_loop(nr + 1);
}

/* No launcher looks at these numbers, but anybody on the host may be given one of them for a disk:
 * then others are tried. */
static void test_devices_without_a_disk_go(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    bool ok = false;
    DT_AUTO_FD int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (strcmp(dt_disk_driver(f->store), "loop") != 0)
        return; /* there are none to look after */
    OK(dt_disk_make(f->store, f->sandbox, 64 * MIB, 0, &err));
    DT_AUTO_FD int image = openat(f->sandbox, "disk.img", O_RDWR | O_CLOEXEC);
    for (unsigned nr = 500900; !ok && nr < 500930; nr += 3)
        ok = only_unused_ones_go(f, control, image, nr);
    assert_true(ok);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_disk_has_its_folders),
        TEST(test_what_stays),
        TEST(test_bytes_are_limited),
        TEST(test_inodes_are_limited),
        TEST(test_sizes),
        TEST(test_large_disks),
        TEST(test_without_a_disk),
        TEST(test_nothing_is_left_after_a_kill),
        TEST(test_an_unclean_image_is_repaired_by_its_journal),
        TEST(test_an_image_with_errors_is_checked),
        TEST(test_devices_do_nothing_on_a_disk),
        TEST(test_a_shared_disk_is_one_file_system),
        TEST(test_a_shared_disk_that_just_ends),
        TEST(test_a_wrong_name_is_not_believed),
        TEST(test_a_failed_make_leaves_nothing),
        TEST(test_devices_without_a_disk_go),
        TEST(test_speed),
    };
    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
