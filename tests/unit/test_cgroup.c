#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "os/cgroup_root.h"
#include "os/devfilter.h"

#define MIB (1ULL << 20)
enum { WAIT_MS = 60000 };

struct fixture {
    char instance[32];
    struct dt_cgroup_root *root;
    _Atomic uint64_t *shared; /* with children */
};

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fail_msg("%s: %s", #call, err.msg);                                                    \
    } while (0)

static int setup(void **state)
{
    static struct fixture f;
    struct dt_err err;
    (void)snprintf(f.instance, sizeof(f.instance), "unit-%d", (int)getpid());
    OK(dt_cgroup_root_open(f.instance, "", &f.root, &err));
    f.shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *state = &f;
    return f.shared == MAP_FAILED ? -1 : 0;
}

/* What a failed test left is killed, so that the next one starts clean. */
static int end_group(void *arg, const char *name)
{
    struct dt_cgroup_root *r = arg;
    struct dt_err err;
    OK(dt_cgroup_kill(r, name, &err));
    OK(dt_cgroup_wait_empty(r, name, dt_clock_ms() + WAIT_MS, &err));
    OK(dt_cgroup_remove(r, name, &err));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    OK(dt_cgroup_list(f->root, end_group, f->root, &err));
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    OK(dt_cgroup_root_remove(f->root, &err));
    f->root = dt_cgroup_root_free(f->root);
    return munmap((void *)f->shared, 4096);
}

/* As the launcher does it: cloned into the v2 group, moved into the v1 groups, then let go. */
static pid_t start(struct fixture *f, const char *name, uint64_t flags,
                   void (*fn)(struct fixture *))
{
    struct dt_err err;
    int go[2];
    DT_AUTO_FD int dir = dt_cgroup_dir(f->root, name, &err);
    OK(dir);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP | flags, .exit_signal = SIGCHLD, .cgroup = (uint64_t)dir};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    assert_true(pid >= 0);
    if (pid == 0) {
        char c;
        (void)close(go[1]);
        if (read(go[0], &c, 1) == 1)
            fn(f);
        _exit(0);
    }
    (void)close(go[0]);
    OK(dt_cgroup_attach_v1(f->root, name, pid, &err));
    assert_int_equal(write(go[1], "g", 1), 1);
    (void)close(go[1]);
    return pid;
}

static int reap(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void make(struct fixture *f, const char *name, uint64_t memory, uint32_t millis,
                 uint32_t pids)
{
    struct dt_err err;
    const struct dt_cgroup_limits limits = {memory, millis, pids, false};
    OK(dt_cgroup_make(f->root, name, &err));
    OK(dt_cgroup_limit(f->root, name, &limits, &err));
}

static void finish(struct fixture *f, const char *name)
{
    struct dt_err err;
    OK(dt_cgroup_wait_empty(f->root, name, dt_clock_ms() + WAIT_MS, &err));
    OK(dt_cgroup_remove(f->root, name, &err));
}

static void take_memory(struct fixture *f)
{
    enum { STEP = 1 << 20 };
    for (int i = 0; i < 256; i++) {
        char *p = mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            _exit(1);
        memset(p, 1, STEP);
        *f->shared = (uint64_t)i + 1;
    }
}

static void look_at_view(const struct dt_cgroup_view *view, const char *file, const char *want)
{
    char text[64] = "";
    DT_AUTO_FD int fd = openat(view->mount, file, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    text[strcspn(text, " \n")] = '\0';
    assert_string_equal(text, want);
    assert_int_equal(openat(view->mount, file, O_WRONLY | O_CLOEXEC), -1);
    assert_int_equal(errno, EROFS);
    assert_int_equal(mkdirat(view->mount, "below", 0755), -1);
    assert_int_equal(errno, EROFS);
}

static void test_views(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct dt_cgroup_view views[DT_CGROUP_VIEWS_MAX];
    unsigned n, seen = 0;
    make(f, "seen", 64 * MIB, 500, 10);
    OK(dt_cgroup_views(f->root, "seen", views, &n, &err));
    bool v2 = strcmp(dt_cgroup_driver(f->root), "v2") == 0;
    assert_int_equal(n == 1, v2);
    for (unsigned i = 0; i < n; i++) {
        const char *folder = views[i].folder;
        if (v2 || strcmp(folder, "memory") == 0)
            look_at_view(&views[i], v2 ? "memory.max" : "memory.limit_in_bytes", "67108864");
        if (v2 || strcmp(folder, "cpu") == 0)
            look_at_view(&views[i], v2 ? "cpu.max" : "cpu.cfs_quota_us", "50000");
        if (v2 || strcmp(folder, "pids") == 0)
            look_at_view(&views[i], "pids.max", "10");
        seen += strcmp(folder, v2 ? "" : "unified") == 0;
    }
    assert_int_equal(seen, 1);
    dt_cgroup_views_close(views, n);
    finish(f, "seen");
    assert_int_equal(dt_cgroup_views(f->root, "seen", views, &n, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    assert_int_equal(n, 0);
}

static void test_memory_is_limited(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    uint64_t kills;
    make(f, "s1", 64 * MIB, 1000, 64);
    int status = reap(start(f, "s1", 0, take_memory));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_true(*f->shared >= 32 && *f->shared <= 64);
    OK(dt_cgroup_oom_kills(f->root, "s1", &kills, &err));
    assert_int_equal(kills, 1);
    finish(f, "s1");
}

static void fork_all(struct fixture *f)
{
    uint64_t n = 0;
    for (; n < 100; n++) {
        pid_t pid = fork();
        if (pid < 0)
            break;
        if (pid == 0) {
            (void)pause();
            _exit(0);
        }
    }
    *f->shared = errno == EAGAIN ? n : 1000;
    (void)pause();
}

static uint64_t wait_shared(struct fixture *f)
{
    uint64_t deadline = dt_clock_ms() + WAIT_MS;
    while (*f->shared == 0 && dt_clock_ms() < deadline)
        (void)sched_yield();
    return *f->shared;
}

static void test_processes_are_limited_and_killed(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct dt_cgroup_stats stats;
    bool empty;
    pid_t pids[8];
    size_t n;
    make(f, "s2", 256 * MIB, 1000, 16);
    pid_t pid = start(f, "s2", 0, fork_all);
    assert_int_equal(wait_shared(f), 15);
    OK(dt_cgroup_stats(f->root, "s2", &stats, &err));
    assert_int_equal(stats.pids, 16);
    assert_int_equal(stats.memory_limit, 256 * MIB);
    assert_true(stats.memory_bytes > 0 && stats.memory_bytes < 256 * MIB);
    assert_int_equal(stats.oom_kills, 0);
    assert_int_equal(dt_cgroup_pids(f->root, "s2", pids, 8, &n, &err), -1);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
    OK(dt_cgroup_is_empty(f->root, "s2", &empty, &err));
    assert_false(empty);
    assert_int_equal(dt_cgroup_remove(f->root, "s2", &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    assert_int_equal(dt_cgroup_wait_empty(f->root, "s2", dt_clock_ms() + 10, &err), -1);
    assert_int_equal(err.code, DT_E_TIMEOUT);

    OK(dt_cgroup_kill(f->root, "s2", &err));
    OK(dt_cgroup_wait_empty(f->root, "s2", dt_clock_ms() + WAIT_MS, &err));
    OK(dt_cgroup_is_empty(f->root, "s2", &empty, &err));
    assert_true(empty);
    assert_int_equal(WTERMSIG(reap(pid)), SIGKILL);
    finish(f, "s2");
    assert_int_equal(dt_cgroup_stats(f->root, "s2", &stats, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    OK(dt_cgroup_remove(f->root, "s2", &err));
}

/* For a while, and until it has had some time at all, which a busy machine may give late. */
static void spin(struct fixture *f)
{
    struct timespec used = {0};
    uint64_t end = dt_clock_ms() + 600, ms = 0;
    while (dt_clock_ms() < end || (ms < 20 && dt_clock_ms() < end + WAIT_MS)) {
        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        ms = (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
    }
    *f->shared = ms;
}

static void test_cpu_is_limited(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct dt_cgroup_stats stats;
    make(f, "s3", 64 * MIB, 200, 16);
    assert_int_equal(reap(start(f, "s3", 0, spin)), 0);
    assert_true(*f->shared > 0 && *f->shared < 300);
    OK(dt_cgroup_stats(f->root, "s3", &stats, &err));
    assert_true(stats.cpu_usec > 10000 && stats.cpu_usec < 300000);
    finish(f, "s3");
}

/* The child is root of the host: only the group can say no. */
static void open_devices(struct fixture *f)
{
    static const char *const ok[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/urandom",
                                     "/dev/ptmx"};
    static const char *const no[] = {"/dev/loop-control", "/dev/kmsg", "/dev/mem"};
    uint64_t wrong = 0;
    for (size_t i = 0; i < sizeof(ok) / sizeof(ok[0]); i++)
        if (open(ok[i], O_RDWR | O_NOCTTY) < 0)
            wrong |= 1ULL << i;
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        if (access(no[i], F_OK) == 0 && (open(no[i], O_RDONLY | O_NONBLOCK) >= 0 || errno != EPERM))
            wrong |= 1ULL << (8 + i);
    char path[64];
    (void)snprintf(path, sizeof(path), "/var/tmp/%s", f->instance);
    if (mknod(path, S_IFCHR | 0600, 0x103) == 0 || errno != EPERM)
        wrong |= 1ULL << 16;
    (void)unlink(path);
    *f->shared = wrong | 1ULL << 32;
}

static void test_devices_are_limited(void **state)
{
    struct fixture *f = *state;
    make(f, "s4", 64 * MIB, 1000, 16);
    assert_int_equal(reap(start(f, "s4", 0, open_devices)), 0);
    assert_int_equal(*f->shared, 1ULL << 32);
    finish(f, "s4");
}

static void count_up(struct fixture *f)
{
    for (;;)
        (*f->shared)++;
}

static void on_alarm(int number)
{
    (void)number;
}

/* The kernel gives up on a program when a signal comes meanwhile; the launcher must not. */
static void test_signals_do_not_end_the_filter(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    if (f->root->v1_devices >= 0)
        return; /* a host without eBPF */
    const struct sigaction sa = {.sa_handler = on_alarm};
    const struct itimerval often = {{0, 5000}, {0, 5000}}, never = {0};
    assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    int ret = 0;
    for (int i = 0; i < 300 && ret == 0; i++)
        ret = dt_devfilter_attach(f->root->tree, &err);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    OK(ret);
}

/* One that had no eBPF was killed, and the next one has it. */
static void test_the_devices_group_of_another_goes(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    char path[64];
    (void)snprintf(path, sizeof(path), "/sys/fs/cgroup/devices/daytona-%s", f->instance);
    if (access("/sys/fs/cgroup/devices/cgroup.procs", F_OK) < 0)
        return; /* a pure v2 host has no such groups */
    assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
    OK(dt_cgroup_root_remove(f->root, &err));
    assert_int_equal(access(path, F_OK), -1);
    f->root = dt_cgroup_root_free(f->root);
    OK(dt_cgroup_root_open(f->instance, "", &f->root, &err));
}

static void test_freezing(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    make(f, "s5", 64 * MIB, 1000, 16);
    pid_t pid = start(f, "s5", 0, count_up);
    (void)wait_shared(f);
    OK(dt_cgroup_freeze(f->root, "s5", true, dt_clock_ms() + WAIT_MS, &err));
    uint64_t then = *f->shared;
    assert_true(then > 0);
    struct timespec t = {.tv_nsec = 20000000};
    (void)nanosleep(&t, NULL);
    assert_int_equal(*f->shared, then);
    OK(dt_cgroup_freeze(f->root, "s5", false, 0, &err));
    for (uint64_t end = dt_clock_ms() + WAIT_MS; *f->shared == then && dt_clock_ms() < end;)
        (void)sched_yield();
    assert_true(*f->shared > then);
    bool frozen = true;
    uint64_t cpu = 0, later = 0;
    OK(dt_cgroup_is_frozen(f->root, "s5", &frozen, &err));
    assert_false(frozen);
    OK(dt_cgroup_cpu(f->root, "s5", &cpu, &err));
    assert_true(cpu > 0);
    OK(dt_cgroup_set_frozen(f->root, "s5", true, &err));
    for (uint64_t end = dt_clock_ms() + WAIT_MS; !frozen && dt_clock_ms() < end;)
        OK(dt_cgroup_is_frozen(f->root, "s5", &frozen, &err));
    assert_true(frozen);
    /* What ran until it froze may be counted a little later. */
    for (uint64_t end = dt_clock_ms() + WAIT_MS; later != cpu && dt_clock_ms() < end;) {
        OK(dt_cgroup_cpu(f->root, "s5", &cpu, &err));
        (void)nanosleep(&t, NULL);
        OK(dt_cgroup_cpu(f->root, "s5", &later, &err));
    }
    assert_int_equal(later, cpu);
    OK(dt_cgroup_kill(f->root, "s5", &err));
    assert_int_equal(WTERMSIG(reap(pid)), SIGKILL);
    finish(f, "s5");
}

static void wait_forever(struct fixture *f)
{
    pid_t pid = fork();
    if (pid > 0)
        *f->shared = 1;
    (void)pause();
}

static void test_pid_1_is_found(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    pid_t found = 0, pids[8];
    size_t n = 0;
    make(f, "s6", 64 * MIB, 1000, 16);
    assert_int_equal(dt_cgroup_init_pid(f->root, "s6", &found, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    pid_t pid = start(f, "s6", CLONE_NEWPID, wait_forever);
    assert_int_equal(wait_shared(f), 1);
    OK(dt_cgroup_init_pid(f->root, "s6", &found, &err));
    assert_int_equal(found, pid);
    OK(dt_cgroup_pids(f->root, "s6", pids, 8, &n, &err));
    assert_int_equal(n, 2);
    assert_true(pids[0] == pid || pids[1] == pid);
    OK(dt_cgroup_kill(f->root, "s6", &err));
    (void)reap(pid);
    finish(f, "s6");
}

static void test_limits_change(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    struct dt_cgroup_stats stats;
    static const uint64_t sizes[] = {64 * MIB, 256 * MIB, 32 * MIB, 1ULL << 40};
    OK(dt_cgroup_make(f->root, "s7", &err));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const struct dt_cgroup_limits l = {sizes[i], 1024000, 65536, true};
        OK(dt_cgroup_limit(f->root, "s7", &l, &err));
        OK(dt_cgroup_stats(f->root, "s7", &stats, &err));
        assert_int_equal(stats.memory_limit, sizes[i]);
    }
    static const struct dt_cgroup_limits bad[] = {{0, 1000, 10, false},
                                                  {64 * MIB, 0, 10, false},
                                                  {64 * MIB, 9, 10, false},
                                                  {64 * MIB, 10, 0, false},
                                                  {UINT64_MAX, 1000, 10, false}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(dt_cgroup_limit(f->root, "s7", &bad[i], &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
    }
    finish(f, "s7");
}

static void test_names(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    char longest[66];
    memset(longest, 'a', sizeof(longest));
    longest[65] = '\0';
    const char *const bad[] = {"",    ".",   "..",       "a/b",   "../x", "cgroup.procs",
                               "a b", "a\n", "\xc3\xa4", longest, NULL};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(dt_cgroup_make(f->root, bad[i], &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        assert_int_equal(dt_cgroup_kill(f->root, bad[i], &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        assert_int_equal(dt_cgroup_remove(f->root, bad[i], &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        struct dt_cgroup_root *r = NULL;
        assert_int_equal(dt_cgroup_root_open(bad[i], "", &r, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
    }
    longest[64] = '\0';
    OK(dt_cgroup_make(f->root, longest, &err));
    assert_int_equal(dt_cgroup_make(f->root, longest, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    OK(dt_cgroup_remove(f->root, longest, &err));
    assert_int_equal(dt_cgroup_kill(f->root, "nobody", &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    assert_int_equal(dt_cgroup_dir(f->root, "nobody", &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
}

static int note(void *arg, const char *name)
{
    uint64_t *seen = arg;
    assert_int_equal(strlen(name), 2);
    assert_true(name[0] == 'g' && name[1] >= '0' && name[1] <= '9');
    int n = name[1] - '0';
    assert_int_equal(*seen & (1ULL << n), 0);
    *seen |= 1ULL << n;
    return 0;
}

static void test_listing(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    uint64_t seen = 0;
    for (int i = 0; i < 10; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "g%d", i);
        make(f, name, 64 * MIB, 1000, 16);
    }
    /* A second launcher's view, after a restart. */
    DT_AUTO(dt_cgroup_root_free) struct dt_cgroup_root *again = NULL;
    OK(dt_cgroup_root_open(f->instance, "", &again, &err));
    assert_string_equal(dt_cgroup_driver(again), dt_cgroup_driver(f->root));
    OK(dt_cgroup_list(again, note, &seen, &err));
    assert_int_equal(seen, 0x3ff);
    assert_int_equal(dt_cgroup_root_remove(f->root, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    OK(dt_cgroup_list(again, end_group, again, &err));
    seen = 0;
    OK(dt_cgroup_list(again, note, &seen, &err));
    assert_int_equal(seen, 0);
}

/* A mountinfo with the lines of ours that hold none of `without`. */
static void write_mountinfo(const char *path, const char *const *without)
{
    struct dt_err err;
    struct dt_buf DT_AUTO_BUF all;
    dt_buf_init(&all, 4 << 20);
    OK(dt_fd_read_file(AT_FDCWD, "/proc/self/mountinfo", &all, &err));
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    struct dt_str rest = dt_buf_str(&all), line;
    while (dt_str_cut(&rest, '\n', &line)) {
        char text[8192];
        bool skip = line.n == 0;
        (void)snprintf(text, sizeof(text), "%.*s", (int)line.n, line.p);
        for (size_t i = 0; without[i] != NULL; i++)
            skip = skip || strstr(text, without[i]) != NULL;
        if (!skip)
            (void)fprintf(out, "%s\n", text);
    }
    assert_int_equal(fclose(out), 0);
}

/* As with a unit that has Delegate=yes: all is below the group that is given, also for a second
 * launcher while a sandbox runs. */
static void test_a_group_is_the_base(void **state)
{
    struct fixture *f = *state;
    struct dt_err err = {.msg = ""};
    const char *top =
        access("/sys/fs/cgroup/unified", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
    char base[64], path[128], parent[256];
    DT_AUTO(dt_cgroup_root_free) struct dt_cgroup_root *r = NULL;
    DT_AUTO(dt_cgroup_root_free) struct dt_cgroup_root *again = NULL;
    (void)snprintf(base, sizeof(base), "%s-unit", f->instance);
    (void)snprintf(path, sizeof(path), "%s/%s", top, base);
    (void)snprintf(parent, sizeof(parent), "%s/daytona-%s-b", path, f->instance);
    char name[48];
    (void)snprintf(name, sizeof(name), "%s-b", f->instance);
    assert_int_equal(dt_cgroup_root_open(name, base, &r, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    assert_non_null(strstr(err.msg, base));
    assert_int_equal(mkdir(path, 0755), 0);
    OK(dt_cgroup_root_open(name, base, &r, &err));
    assert_int_equal(access(parent, F_OK), 0);
    struct fixture below = *f;
    below.root = r;
    make(&below, "x", 64 * MIB, 1000, 16);
    pid_t pid = start(&below, "x", 0, wait_forever);
    OK(dt_cgroup_root_open(name, base, &again, &err));
    OK(dt_cgroup_kill(again, "x", &err));
    (void)reap(pid);
    OK(dt_cgroup_wait_empty(again, "x", dt_clock_ms() + WAIT_MS, &err));
    OK(dt_cgroup_remove(again, "x", &err));
    OK(dt_cgroup_root_remove(again, &err));
    assert_int_equal(rmdir(path), 0);
}

/* As the unit's only process does it: out of the group's way, and back at the same place later. */
static void test_the_holder_steps_aside(void **state)
{
    struct fixture *f = *state;
    const char *top =
        access("/sys/fs/cgroup/unified", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
    char path[128], procs[160], leaf[160];
    (void)snprintf(path, sizeof(path), "%s/%s-hold", top, f->instance);
    (void)snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
    (void)snprintf(leaf, sizeof(leaf), "%s/daytona-launcher", path);
    assert_int_equal(mkdir(path, 0755), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct dt_err err;
        struct dt_buf DT_AUTO_BUF left;
        dt_buf_init(&left, 4096);
        if (dt_fd_put(AT_FDCWD, procs, "0", &err) == 0 && dt_cgroup_hold(&err) == 0 &&
            dt_fd_read_file(AT_FDCWD, procs, &left, &err) == 0 && left.n == 0)
            *f->shared = 1;
        _exit(0);
    }
    (void)reap(pid);
    assert_int_equal(rmdir(leaf), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(*f->shared, 1);
}

static bool parent_exists(const char *instance)
{
    static const char *const tops[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};
    char path[128];
    bool found = false;
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof(path), "%s/daytona-%s", tops[i], instance);
        found = found || access(path, F_OK) == 0;
    }
    return found;
}

/* What this host's v2 tree does not offer is found in v1, or named. */
static void test_what_is_missing_is_named(void **state)
{
    struct fixture *f = *state;
    char path[64], instance[48];
    (void)snprintf(path, sizeof(path), "/var/tmp/%s.mountinfo", f->instance);
    (void)snprintf(instance, sizeof(instance), "%s-x", f->instance);
    static const struct {
        const char *without[5], *named[4], *not_named[4];
    } rows[] = {
        {{"cgroup2"}, {"no cgroup2", "mount -t cgroup2"}, {NULL}},
        {{" - cgroup "}, {"memory", "cpu", "pids"}, {"no cgroup2"}},
        {{",pids"}, {" pids:"}, {"memory", " cpu"}},
        {{",memory"}, {" memory:"}, {"pids", " cpu"}},
        {{",cpu\n", "cgroup rw,cpu"}, {" cpu:"}, {"pids", "memory"}},
    };
    /* A pure v2 host lacks nothing without v1 mounts. */
    size_t n = dt_cgroup_needs_attach(f->root) ? sizeof(rows) / sizeof(rows[0]) : 1;
    for (size_t i = 0; i < n; i++) {
        struct dt_err err = {.msg = ""};
        struct dt_cgroup_root *r = NULL;
        write_mountinfo(path, rows[i].without);
        assert_int_equal(dt_cgroup_root_open_at(path, instance, "", &r, &err), -1);
        assert_int_equal(err.code, DT_E_UNSUPPORTED);
        assert_null(r);
        for (size_t k = 0; rows[i].named[k] != NULL; k++)
            if (strstr(err.msg, rows[i].named[k]) == NULL)
                fail_msg("row %zu: '%s' does not name %s", i, err.msg, rows[i].named[k]);
        for (size_t k = 0; rows[i].not_named[k] != NULL; k++)
            if (strstr(err.msg, rows[i].not_named[k]) != NULL)
                fail_msg("row %zu: '%s' names %s", i, err.msg, rows[i].not_named[k]);
        assert_false(parent_exists(instance));
    }
    (void)unlink(path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_views),
        TEST(test_memory_is_limited),
        TEST(test_processes_are_limited_and_killed),
        TEST(test_cpu_is_limited),
        TEST(test_devices_are_limited),
        TEST(test_signals_do_not_end_the_filter),
        TEST(test_the_devices_group_of_another_goes),
        TEST(test_freezing),
        TEST(test_pid_1_is_found),
        TEST(test_limits_change),
        TEST(test_names),
        TEST(test_listing),
        TEST(test_a_group_is_the_base),
        TEST(test_the_holder_steps_aside),
        TEST(test_what_is_missing_is_named),
    };
    return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
