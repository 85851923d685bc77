/* The probe in namespaces of our own, with and without what core/os adds to them: it must be
 * refused everywhere in one, and must notice in the other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "os/caps.h"
#include "os/memfd.h"
#include "os/seccomp.h"

enum { BASE = 1 << 20, OUTPUT_MAX = 1 << 20 };

struct box {
    struct sock_fprog filter;
    int probe;
    bool confined;
    uid_t uid;
    const char *list;
};

static int limit(__rlimit_resource_t what, rlim_t value)
{
    const struct rlimit l = {value, value};
    return setrlimit(what, &l);
}

static int confine(const struct box *b)
{
    struct dt_err err;
    if (limit(RLIMIT_CORE, 1) < 0 || limit(RLIMIT_NOFILE, 4096) < 0 ||
        limit(RLIMIT_MEMLOCK, 8 << 20) < 0 || limit(RLIMIT_MSGQUEUE, 819200) < 0 ||
        limit(RLIMIT_SIGPENDING, 4096) < 0)
        return -1;
    if (dt_fd_put(AT_FDCWD, "/proc/sys/user/max_inotify_instances", "16", &err) < 0)
        return -1;
    return dt_seccomp_install(&b->filter) < 0 ? -1 : dt_caps_keep(dt_caps_sandbox);
}

static _Noreturn void run_probe(const struct box *b, int output)
{
    char only[] = "--only", list[32], name[] = "probe", *env[] = {NULL};
    (void)snprintf(list, sizeof(list), "%s", b->list);
    char *const argv[] = {name, only, list, NULL};
    if (dup2(output, 1) < 0 || dup2(output, 2) < 0 ||
        (b->uid != 0 && (setgroups(0, NULL) < 0 || setresgid(b->uid, b->uid, b->uid) < 0 ||
                         setresuid(b->uid, b->uid, b->uid) < 0)))
        _exit(100);
    if (syscall(SYS_close_range, 3U, ~0U, (unsigned)CLOSE_RANGE_CLOEXEC) == 0)
        (void)syscall(SYS_execveat, b->probe, "", argv, env, AT_EMPTY_PATH);
    _exit(101);
}

/* pid 1: shows nothing of itself, and ends as the probe does. */
static _Noreturn void be_init(const struct box *b, int go, int output)
{
    char c;
    int status;
    if (read(go, &c, 1) != 1 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 ||
        mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620,max=16") < 0)
        _exit(102);
    if (b->confined && (confine(b) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0))
        _exit(103);
    pid_t pid = fork();
    if (pid == 0)
        run_probe(b, output);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        _exit(104);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 105);
}

static void map_ids(pid_t pid)
{
    struct dt_err err;
    char path[64], map[64];
    (void)snprintf(map, sizeof(map), "0 %d 65536", BASE);
    static const char *const files[] = {"uid_map", "gid_map"};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, files[i]);
        if (dt_fd_put(AT_FDCWD, path, map, &err) < 0)
            fail_msg("%s", err.msg);
    }
}

/* The probe's exit code; its lines are in `out`. */
static int run_box(const struct box *b, struct dt_buf *out)
{
    struct dt_err err;
    int go[2], output[2], status;
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                       CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP,
                              .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(go[1]);
        be_init(b, go[0], output[1]);
    }
    (void)close(go[0]);
    (void)close(output[1]);
    map_ids(pid);
    assert_int_equal(write(go[1], "g", 1), 1);
    (void)close(go[1]);
    assert_int_equal(dt_fd_read_all(output[0], out, &err), 0);
    (void)close(output[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (; (text = strstr(text, what)) != NULL; text++)
        n++;
    return n;
}

static int setup(void **state)
{
    static struct box b;
    struct dt_err err;
    if (dt_seccomp_build(0, &b.filter, &err) < 0 ||
        dt_memfd_from_file("probe", AT_FDCWD, DT_PROBE_PATH, &b.probe, &err) < 0)
        fail_msg("%s", err.msg);
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct box *b = *state;
    dt_seccomp_free(&b->filter);
    return close(b->probe);
}

static const struct {
    const char *list;
    uid_t uid;
    unsigned least;
} rows[] = {{"calls", 0, 100}, {"calls", 1000, 100}, {"processes", 0, 25}, {"processes", 1000, 25}};

static void test_everything_is_refused(void **state)
{
    struct box b = *(const struct box *)*state;
    b.confined = true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_buf DT_AUTO_BUF out;
        dt_buf_init(&out, OUTPUT_MAX);
        b.uid = rows[i].uid;
        b.list = rows[i].list;
        int code = run_box(&b, &out);
        assert_non_null(out.p);
        if (code != 0)
            fail_msg("%s as %u ended with %d:\n%s", rows[i].list, rows[i].uid, code, out.p);
        assert_true(count(out.p, "\"refused\":true") >= rows[i].least);
        assert_int_equal(count(out.p, "\"refused\":false"), 0);
    }
}

static void test_the_probe_notices(void **state)
{
    struct box b = *(const struct box *)*state;
    static const char *const holes[] = {
        "{\"probe\":\"clone3\",\"refused\":false",
        "{\"probe\":\"unshare\",\"refused\":false",
        "{\"probe\":\"unshare CLONE_NEWNET\",\"refused\":false",
        "{\"probe\":\"clone CLONE_NEWUSER\",\"refused\":false",
        "{\"probe\":\"io_uring_setup\",\"refused\":false",
        "{\"probe\":\"socket netlink generic\",\"refused\":false",
        "{\"probe\":\"a filter that allows all\",\"refused\":false",
        "{\"probe\":\"keyctl\",\"refused\":false",
    };
    struct dt_buf DT_AUTO_BUF out;
    dt_buf_init(&out, OUTPUT_MAX);
    b.list = "calls";
    assert_int_equal(run_box(&b, &out), 1);
    for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++)
        if (strstr(out.p, holes[i]) == NULL)
            fail_msg("not noticed: %s\n%s", holes[i], out.p);

    dt_buf_clear(&out);
    b.list = "processes";
    assert_int_equal(run_box(&b, &out), 1);
    assert_non_null(strstr(out.p, "{\"probe\":\"to be without a filter\",\"refused\":false"));
    assert_non_null(
        strstr(out.p, "{\"probe\":\"capabilities beyond a container's\",\"refused\":false"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_refused),
        cmocka_unit_test(test_the_probe_notices),
    };
    return cmocka_run_group_tests_name("probe", tests, setup, teardown);
}
