#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "oci/jail.h"

/* What the child saw, in DT_JAIL_REPORT_MAX bytes. */
struct seen {
    uint32_t uid, gid;
    int32_t socket_errno, fork_errno, exec_errno, mount_errno, mknod_errno, kill_errno, open_errno;
    int32_t up_is_root; /* ".." of the root is the root */
    int32_t entries;    /* in the root */
    int32_t stray_fds;
};
_Static_assert(sizeof(struct seen) <= DT_JAIL_REPORT_MAX, "the report holds it");

static int errno_of(long rc)
{
    return rc < 0 ? errno : 0;
}

static int count_entries(void)
{
    static char buf[4096];
    int n = 0;
    int fd = openat(DT_JAIL_ROOT, ".", O_RDONLY | O_DIRECTORY);
    long got = syscall(SYS_getdents64, fd, buf, sizeof(buf));
    for (long at = 0; at < got; n++) {
        unsigned short len;
        memcpy(&len, buf + at + 16, sizeof(len));
        at += len;
    }
    (void)close(fd);
    return n - 2;
}

static int look_around(void *ctx, void *report, struct dt_err *err)
{
    (void)ctx;
    (void)err;
    struct stat a;
    struct stat b;
    struct seen s = {0};
    s.uid = (uint32_t)-1;
    if (fstatat(DT_JAIL_ROOT, ".", &a, 0) == 0 && fstatat(DT_JAIL_ROOT, "..", &b, 0) == 0) {
        s.up_is_root = a.st_ino == b.st_ino && a.st_dev == b.st_dev;
        s.uid = a.st_uid;
        s.gid = a.st_gid;
    }
    s.entries = count_entries();
    s.socket_errno = errno_of(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
    s.fork_errno = errno_of(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    s.exec_errno = errno_of(syscall(SYS_execve, "/bin/sh", NULL, NULL));
    s.mount_errno = errno_of(syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL));
    s.kill_errno = errno_of(syscall(SYS_kill, 1, SIGKILL));
    s.mknod_errno = errno_of(mknodat(DT_JAIL_ROOT, "null", S_IFCHR | 0666, 0x103));
    s.open_errno = errno_of(openat(DT_JAIL_ROOT, "etc/passwd", O_RDONLY));
    for (int fd = 0; fd < 256; fd++)
        s.stray_fds += fcntl(fd, F_GETFD) >= 0;
    memcpy(report, &s, sizeof(s));
    return 0;
}

static int fails(void *ctx, void *report, struct dt_err *err)
{
    (void)ctx;
    (void)report;
    return dt_err_set(err, DT_E_LIMIT, "too \033[31mmuch\n");
}

static int dies(void *ctx, void *report, struct dt_err *err)
{
    (void)ctx;
    (void)report;
    (void)err;
    syscall(SYS_exit_group, 7);
    return 0;
}

static int hangs(void *ctx, void *report, struct dt_err *err)
{
    (void)ctx;
    (void)report;
    (void)err;
    char c;
    while (read(DT_JAIL_IN, &c, 1) != 0)
        continue;
    return 0;
}

static int userns_of_test(void)
{
    int fd = -1;
    struct dt_err err;
    if (dt_jail_userns(&fd, &err) < 0)
        fail_msg("%s", err.msg);
    return fd;
}

static void start(const struct dt_jail_spec *spec, struct dt_jail *jail)
{
    struct dt_err err;
    if (dt_jail_start(spec, jail, &err) < 0)
        fail_msg("%s", err.msg);
}

static void check_seen(const struct seen *s, int entries, int mknod_errno)
{
    assert_int_equal(s->up_is_root, 1);
    assert_int_equal(s->entries, entries);
    assert_int_equal(s->socket_errno, ENOSYS);
    assert_int_equal(s->fork_errno, ENOSYS);
    assert_int_equal(s->exec_errno, ENOSYS);
    assert_int_equal(s->mount_errno, ENOSYS);
    assert_int_equal(s->kill_errno, ENOSYS);
    assert_int_equal(s->mknod_errno, mknod_errno);
    assert_int_equal(s->open_errno, ENOENT);
}

static void test_a_folder_is_all_there_is(void **state)
{
    (void)state;
    char dir[] = "/tmp/dt-test-jail.XXXXXX";
    char report[DT_JAIL_REPORT_MAX];
    struct seen s;
    struct dt_err err;
    struct dt_jail jail;
    assert_non_null(mkdtemp(dir));
    DT_AUTO_FD int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DT_AUTO_FD int userns = userns_of_test();
    assert_int_equal(mkdirat(root, "one", 0755), 0);
    assert_int_equal(fchown(root, 77, 88), 0);
    const struct dt_jail_spec spec = {
        .run = look_around, .in = -1, .out = -1, .rootfd = root, .userns = userns};
    start(&spec, &jail);
    assert_int_equal(dt_jail_wait(&jail, 10000, report, &err), 0);
    memcpy(&s, report, sizeof(s));
    check_seen(&s, 1, EPERM);
    assert_int_equal(s.uid, 77); /* the ids on disk are those of the namespace */
    assert_int_equal(s.gid, 88);
    assert_true(s.stray_fds <= 5); /* the root, the report, and what the sanitizers print to */
    assert_int_equal(unlinkat(root, "one", AT_REMOVEDIR), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_without_a_folder_nothing(void **state)
{
    (void)state;
    char report[DT_JAIL_REPORT_MAX];
    struct seen s;
    struct dt_err err;
    struct dt_jail jail;
    DT_AUTO_FD int userns = userns_of_test();
    const struct dt_jail_spec spec = {
        .run = look_around, .in = -1, .out = -1, .rootfd = -1, .userns = userns};
    start(&spec, &jail);
    assert_int_equal(dt_jail_wait(&jail, 10000, report, &err), 0);
    memcpy(&s, report, sizeof(s));
    check_seen(&s, 0, EROFS);
}

static void test_how_it_ends(void **state)
{
    (void)state;
    DT_AUTO_FD int userns = userns_of_test();
    const struct {
        int (*run)(void *, void *, struct dt_err *);
        enum dt_err_code code;
        const char *msg;
    } rows[] = {
        {fails, DT_E_LIMIT, "too ?[31mmuch?"},
        {dies, DT_E_SYSTEM, "the unpacking process died"},
        {hangs, DT_E_TIMEOUT, "the unpacking process did not end in time"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_jail jail;
        struct dt_err err = {0};
        int ends[2];
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        const struct dt_jail_spec spec = {
            .run = rows[i].run, .in = ends[0], .out = -1, .rootfd = -1, .userns = userns};
        start(&spec, &jail);
        pid_t pid = jail.pid;
        assert_int_equal(dt_jail_wait(&jail, 300, NULL, &err), -1);
        assert_int_equal(err.code, rows[i].code);
        assert_string_equal(err.msg, rows[i].msg);
        assert_int_equal(kill(pid, 0), -1);
        dt_jail_kill(&jail); /* once more does no harm */
        (void)close(ends[0]);
        (void)close(ends[1]);
    }
}

/* Whether a descriptor of another process is what ours of that number is. */
static bool is_same_file(pid_t pid, int fd)
{
    char path[64], theirs[64] = "", ours[64] = "";
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
    ssize_t got = readlink(path, theirs, sizeof(theirs) - 1);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    assert_true(readlink(path, ours, sizeof(ours) - 1) > 0);
    return got > 0 && strcmp(theirs, ours) == 0;
}

/* Its parent is killed while it works: it goes too, and nothing has to be told to it. */
static void test_it_dies_with_its_parent(void **state)
{
    (void)state;
    int ends[2];
    int hold[2];
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    pid_t middle = fork();
    assert_true(middle >= 0);
    if (middle == 0) {
        struct dt_jail jail = {0};
        const struct dt_jail_spec spec = {
            .run = hangs, .in = hold[0], .out = -1, .rootfd = -1, .userns = userns_of_test()};
        start(&spec, &jail);
        (void)!write(ends[1], &jail.pid, sizeof(jail.pid));
        for (;;)
            (void)pause();
    }
    pid_t child = 0;
    int status = 0;
    assert_int_equal(read(ends[0], &child, sizeof(child)), sizeof(child));
    /* It is confined, and so listens for its parent's end, once it has no descriptor of ours; it
     * may have another one of that number by then. */
    uint64_t deadline = dt_clock_ms() + 60000;
    while (is_same_file(child, ends[1]) && dt_clock_ms() < deadline)
        (void)sched_yield();
    assert_false(is_same_file(child, ends[1]));
    assert_int_equal(kill(middle, SIGKILL), 0);
    assert_int_equal(waitpid(middle, &status, 0), middle);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
    for (int i = 0; i < 2; i++) {
        (void)close(ends[i]);
        (void)close(hold[i]);
    }
}

/* As systemd leaves them: what is mounted in one place shows in all. */
static int share_mounts(void **state)
{
    (void)state;
    return unshare(CLONE_NEWNS) < 0 ? -1 : mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_folder_is_all_there_is),
        cmocka_unit_test(test_without_a_folder_nothing),
        cmocka_unit_test(test_how_it_ends),
        cmocka_unit_test(test_it_dies_with_its_parent),
    };
    return cmocka_run_group_tests_name("jail", tests, share_mounts, NULL);
}
