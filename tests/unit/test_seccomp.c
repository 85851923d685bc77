#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pty.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "os/caps.h"
#include "os/seccomp.h"

/* Where the kernel cannot follow: whoever gets that far answers EFAULT, not EPERM. */
#define BAD ((long)-8)

enum { RAN = 0, DIED = 1000 };

static struct sock_fprog filter;

static int build(void **state)
{
    (void)state;
    return dt_seccomp_build(0, &filter, NULL);
}

static int release(void **state)
{
    (void)state;
    dt_seccomp_free(&filter);
    return filter.filter == NULL ? 0 : -1;
}

/* In a child under the filter: 0, the errno, or DIED + signal. */
static int confined(const struct sock_fprog *prog, long (*fn)(const void *), const void *arg)
{
    int fds[2], status, got = -1;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int result = -2;
        if (dt_seccomp_install(prog) == 0)
            result = fn(arg) < 0 ? errno : RAN;
        _exit(write(fds[1], &result, sizeof(result)) == sizeof(result) ? 0 : 1);
    }
    (void)close(fds[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    ssize_t n = read(fds[0], &got, sizeof(got));
    (void)close(fds[0]);
    if (WIFSIGNALED(status))
        return DIED + WTERMSIG(status);
    assert_int_equal(n, sizeof(got));
    return got;
}

struct call {
    const char *name;
    long nr;
    long args[6];
    int want;
};

static long make_call(const void *arg)
{
    const struct call *c = arg;
    const long *a = c->args;
    return syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void check_calls(const struct sock_fprog *prog, const struct call *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int got = confined(prog, make_call, &rows[i]);
        if (got != rows[i].want)
            fail_msg("%s: %d, not %d", rows[i].name, got, rows[i].want);
    }
}
#define CHECK_CALLS(prog, rows) check_calls(prog, rows, sizeof(rows) / sizeof((rows)[0]))

#define PERM(call, ...)                                                                            \
    {                                                                                              \
        .name = #call, .nr = SYS_##call, .args = {__VA_ARGS__}, .want = EPERM                      \
    }

/* As root of the host: nothing but the filter says no here. */
static void test_dangerous_calls_are_refused(void **state)
{
    (void)state;
    static const struct call rows[] = {
        PERM(mount, BAD, BAD, BAD, 0, BAD),
        PERM(umount2, BAD, 0),
        PERM(pivot_root, BAD, BAD),
        PERM(move_mount, -1, BAD, -1, BAD, 0),
        PERM(open_tree, -1, BAD, 0),
        {.name = "open_tree_attr", .nr = 467, .args = {-1, BAD}, .want = EPERM},
        PERM(fsopen, BAD, 0),
        PERM(fsconfig, -1, 0),
        PERM(fsmount, -1, 0),
        PERM(fspick, -1, BAD, 0),
        PERM(mount_setattr, -1, BAD, 0, BAD, 0),
        PERM(bpf, 5, BAD, 1),
        PERM(perf_event_open, BAD, 0, -1, -1, 0),
        PERM(userfaultfd, -1),
        PERM(keyctl, -1),
        PERM(add_key, BAD, BAD, BAD, 1, 0),
        PERM(request_key, BAD, BAD, BAD, 0),
        PERM(open_by_handle_at, -1, BAD, 0),
        PERM(pidfd_getfd, -1, 0, 0),
        PERM(process_madvise, -1, BAD, 1, 0, 0),
        PERM(kcmp, 0, 0, -1),
        PERM(init_module, BAD, 1, BAD),
        PERM(finit_module, -1, BAD, 0),
        PERM(delete_module, BAD, 0),
        PERM(kexec_load, 0, 1, BAD, 0),
        PERM(kexec_file_load, -1, -1, 0, BAD, 0),
        PERM(swapon, BAD, 0),
        PERM(swapoff, BAD),
        PERM(reboot, 1, 2, 3, BAD),
        PERM(acct, BAD),
        PERM(syslog, -1),
        PERM(quotactl, -1, BAD),
        {.name = "quotactl_fd", .nr = 443, .args = {-1, -1}, .want = EPERM},
        PERM(settimeofday, BAD, 0),
        PERM(clock_settime, -1, BAD),
        PERM(clock_adjtime, -1, BAD),
        PERM(adjtimex, BAD),
        PERM(sethostname, BAD, 1),
        PERM(setdomainname, BAD, 1),
        PERM(lookup_dcookie, 0, BAD, 1),
        PERM(nfsservctl, -1),
        PERM(fanotify_init, -1, 0),
        PERM(mbind, 1, 0, 99),
        PERM(migrate_pages, 0, 0, BAD, BAD),
        PERM(move_pages, 0, 1, BAD, BAD, BAD, -1),
        {.name = "memfd_secret", .nr = 447, .args = {-1}, .want = EPERM},
        {.name = "lsm_set_self_attr", .nr = 460, .args = {-1, BAD}, .want = EPERM},
        PERM(setns, -1, 0),
        PERM(unshare, CLONE_NEWUSER),
        PERM(unshare, CLONE_NEWNET),
        PERM(unshare, 0x80),
#ifdef __x86_64__
        PERM(iopl, 4),
        PERM(ioperm, -1, -1, 1),
        PERM(uselib, BAD),
        PERM(ustat, 0, BAD),
        PERM(sysfs, -1),
        PERM(_sysctl, BAD),
        PERM(modify_ldt, 1, BAD, 16),
        PERM(modify_ldt, 0x11, BAD, 16),
#endif
    };
    CHECK_CALLS(&filter, rows);
}

static void test_no_huge_pages(void **state)
{
    (void)state;
    const long prot = PROT_READ | PROT_WRITE, map = MAP_PRIVATE | MAP_ANONYMOUS;
    const struct call rows[] = {
        {"mmap", SYS_mmap, {0, 4096, prot, map, -1, 0}, RAN},
        {"a huge page", SYS_mmap, {0, 2 << 20, prot, map | MAP_HUGETLB, -1, 0}, ENOMEM},
        {"of 1 GiB", SYS_mmap, {0, 1 << 30, prot, map | MAP_HUGETLB | 30 << 26, -1, 0}, ENOMEM},
        {"memfd_create", SYS_memfd_create, {(long)"x", MFD_CLOEXEC}, RAN},
        {"a huge memfd", SYS_memfd_create, {(long)"x", MFD_HUGETLB}, ENOMEM},
        {"shmget", SYS_shmget, {IPC_PRIVATE, 4096, SHM_HUGETLB | IPC_CREAT | 0600}, ENOMEM},
    };
    CHECK_CALLS(&filter, rows);
}

static void test_unknown_calls_do_not_exist(void **state)
{
    (void)state;
    static const struct call rows[] = {
        {.name = "io_uring_setup", .nr = SYS_io_uring_setup, .args = {1, BAD}, .want = ENOSYS},
        {.name = "io_uring_enter", .nr = SYS_io_uring_enter, .args = {-1}, .want = ENOSYS},
        {.name = "io_uring_register", .nr = SYS_io_uring_register, .args = {-1}, .want = ENOSYS},
        {.name = "clone3", .nr = SYS_clone3, .args = {BAD, 88}, .want = ENOSYS},
        {.name = "the first after the list", .nr = 470, .want = ENOSYS},
        {.name = "999", .nr = 999, .want = ENOSYS},
        {.name = "-1", .nr = -1, .want = ENOSYS},
        {.name = "x32", .nr = 0x40000000 + SYS_getpid, .want = ENOSYS},
        {.name = "x32 ptrace", .nr = 0x40000000 + 521, .want = ENOSYS},
    };
    CHECK_CALLS(&filter, rows);
}

static void test_clone_makes_no_namespaces(void **state)
{
    (void)state;
    static const struct {
        long flag;
    } rows[] = {{CLONE_NEWUSER}, {CLONE_NEWNET}, {CLONE_NEWNS},    {CLONE_NEWPID},
                {CLONE_NEWIPC},  {CLONE_NEWUTS}, {CLONE_NEWCGROUP}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        /* CLONE_SIGHAND without CLONE_VM is EINVAL where the filter lets it through. */
        const struct call c = {.nr = SYS_clone,
                               .args = {rows[i].flag | CLONE_SIGHAND | (1L << 40), 0, 0, 0, 0}};
        assert_int_equal(confined(&filter, make_call, &c), EPERM);
    }
    const struct call plain = {.nr = SYS_clone, .args = {CLONE_SIGHAND}};
    assert_int_equal(confined(&filter, make_call, &plain), EINVAL);
}

static void test_socket_families(void **state)
{
    (void)state;
    for (long family = 0; family < 64; family++) {
        struct call c = {.nr = SYS_socket, .args = {family, SOCK_DGRAM, 0}, .want = EAFNOSUPPORT};
        if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
            c.want = RAN;
        int got = confined(&filter, make_call, &c);
        if (got != c.want)
            fail_msg("family %ld: %d", family, got);
    }
    static const struct call rows[] = {
#define SOCKET(a, b, c, e)                                                                         \
    {.name = #a " " #b " " #c, .nr = SYS_socket, .args = {a, b, c}, .want = e}
        SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP, RAN),
        SOCKET(AF_INET, SOCK_RAW, IPPROTO_ICMP, RAN), /* capabilities decide */
        SOCKET(AF_INET, SOCK_STREAM, 132, EPROTONOSUPPORT),
        SOCKET(AF_INET, SOCK_STREAM, 262, EPROTONOSUPPORT),
        SOCKET(AF_INET6, SOCK_STREAM, 262, EPROTONOSUPPORT),
        SOCKET(AF_NETLINK, SOCK_RAW, 12, EAFNOSUPPORT),
        SOCKET(AF_NETLINK, SOCK_RAW, 9, EAFNOSUPPORT),
        SOCKET(AF_NETLINK, SOCK_RAW, 16, EAFNOSUPPORT),
        SOCKET((1L << 32) | AF_VSOCK, SOCK_STREAM, 0, EAFNOSUPPORT),
        SOCKET((1L << 32) | AF_UNIX, SOCK_STREAM, 0, RAN),
        SOCKET(AF_NETLINK, SOCK_RAW, (1L << 32) | 12, EAFNOSUPPORT),
        {.name = "socketpair tipc",
         .nr = SYS_socketpair,
         .args = {AF_TIPC, SOCK_STREAM, 0, BAD},
         .want = EAFNOSUPPORT},
        {.name = "socketpair unix",
         .nr = SYS_socketpair,
         .args = {AF_UNIX, SOCK_STREAM, 0, BAD},
         .want = EFAULT},
    };
    CHECK_CALLS(&filter, rows);
}

static void test_inet6_can_be_refused(void **state)
{
    (void)state;
    struct sock_fprog narrow = {0};
    assert_int_equal(dt_seccomp_build(DT_SECCOMP_NO_INET6, &narrow, NULL), 0);
    static const struct call rows[] = {
        SOCKET(AF_INET6, SOCK_STREAM, 0, EAFNOSUPPORT),
        SOCKET(AF_INET, SOCK_STREAM, 0, RAN),
        SOCKET(AF_UNIX, SOCK_STREAM, 0, RAN),
        SOCKET(AF_VSOCK, SOCK_STREAM, 0, EAFNOSUPPORT),
    };
    CHECK_CALLS(&narrow, rows);
    dt_seccomp_free(&narrow);
    struct dt_err err;
    assert_int_equal(dt_seccomp_build(2, &narrow, &err), -1);
    assert_int_equal(err.code, DT_E_INVALID);
}

static long inject(const void *arg)
{
    int master, slave;
    char c = 'x';
    if (openpty(&master, &slave, NULL, NULL, NULL) < 0)
        return errno = ENOTTY, -1;
    return syscall(SYS_ioctl, slave, *(const long *)arg, &c);
}

static void test_terminal_injection(void **state)
{
    (void)state;
    static const long commands[] = {TIOCSTI,
                                    TIOCLINUX,
                                    TIOCCONS,
                                    (1L << 32) | TIOCSTI,
                                    -(1L << 32) | TIOCSTI,
                                    (7L << 40) | TIOCLINUX};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        assert_int_equal(confined(&filter, inject, &commands[i]), EPERM);
    static const long fine = TIOCOUTQ;
    assert_int_equal(confined(&filter, inject, &fine), RAN);
}

static void test_personality(void **state)
{
    (void)state;
    static const struct call rows[] = {
#define PERSONA(v, e) {.name = "personality " #v, .nr = SYS_personality, .args = {v}, .want = e}
        PERSONA(0, RAN),           PERSONA(8, RAN),
        PERSONA(0x20000, RAN),     PERSONA(0x20008, RAN),
        PERSONA(0xffffffff, RAN),  PERSONA(1, EPERM),
        PERSONA(6, EPERM),         PERSONA(0x0400000, EPERM),
        PERSONA(0x0100000, EPERM), PERSONA(0x100000006, EPERM),
    };
    CHECK_CALLS(&filter, rows);
}

struct wish {
    bool by_prlimit, ask_old;
    rlim_t now, wanted;
};

/* The limit that is in force after a try to change it, or -1 with its errno. */
static long change_core_limit(const void *arg)
{
    const struct wish *w = arg;
    const struct rlimit wanted = {w->wanted, w->wanted};
    struct rlimit now = {0, 0}, old;
    int rc = w->by_prlimit
                 ? (int)syscall(SYS_prlimit64, 0, RLIMIT_CORE, &wanted, w->ask_old ? &old : NULL)
                 : (int)syscall(SYS_setrlimit, RLIMIT_CORE, &wanted);
    if (rc < 0)
        return -1;
    if (syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, &now) < 0)
        return -1;
    errno = EDOM;
    return now.rlim_cur == w->now && now.rlim_max == w->now ? 0 : -1;
}

static void test_the_core_limit_stays(void **state)
{
    (void)state;
    static const struct {
        struct wish wish;
        int want;
    } rows[] = {
        {{.by_prlimit = false, .now = 1, .wanted = 0}, RAN},
        {{.by_prlimit = true, .now = 1, .wanted = 0}, RAN},
        {{.by_prlimit = true, .ask_old = true, .now = 1, .wanted = 0}, EPERM},
    };
    struct rlimit was;
    const struct rlimit one = {1, 1};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        pid_t pid = fork();
        int status;
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(setrlimit(RLIMIT_CORE, &one) == 0 &&
                          confined(&filter, change_core_limit, &rows[i].wish) == rows[i].want
                      ? 0
                      : 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status != 0)
            fail_msg("row %zu", i);
    }
    /* Other limits are the sandbox's own business. */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    const struct call other = {
        .nr = SYS_prlimit64, .args = {0, RLIMIT_NOFILE, (long)&was, (long)&was}, .want = RAN};
    CHECK_CALLS(&filter, ((const struct call[]){other}));
}

#ifdef __x86_64__
static long int80(const void *arg)
{
    long ret = *(const int *)arg;
    __asm__ volatile("int $0x80" : "+a"(ret) : "b"(1) : "memory", "r8", "r9", "r10", "r11");
    return ret;
}

/* 20 is getpid there, 102 socketcall, which would hide a socket's family. */
static void test_the_32_bit_table_kills(void **state)
{
    (void)state;
    static const int numbers[] = {20, 102, 0};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        assert_int_equal(confined(&filter, int80, &numbers[i]), DIED + SIGSYS);
}
#endif

static long stack_and_unshare(const void *arg)
{
    (void)arg;
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog prog = {.len = 1, .filter = allow};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
        return errno = EIO, -1;
    return unshare(CLONE_NEWUSER);
}

static void test_a_second_filter_reopens_nothing(void **state)
{
    (void)state;
    assert_int_equal(confined(&filter, stack_and_unshare, NULL), EPERM);
}

static void *nothing(void *arg)
{
    return arg;
}

/* What tool chains, debuggers and servers live on. */
static long usual_work(const void *arg)
{
    (void)arg;
    pthread_t thread;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/sh", "sh", "-c", "true | cat; exit 7", NULL);
        _exit(1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
        return errno = ECHILD, -1;
    if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return errno = EAGAIN, -1;
    if (memfd_create("x", MFD_CLOEXEC) < 0 || prctl(PR_SET_NAME, "x", 0, 0, 0) < 0)
        return -1;
    pid = fork();
    if (pid == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 && raise(SIGSTOP) == 0 ? 0 : 1);
    if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status) ||
        ptrace(PTRACE_CONT, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static void test_usual_work_goes_on(void **state)
{
    (void)state;
    assert_int_equal(confined(&filter, usual_work, NULL), RAN);
}

/* Most instructions that one call can run, from instruction `at` on. Jumps only go forward. */
static unsigned longest_path(unsigned at, unsigned *known)
{
    assert_true(at < filter.len);
    const struct sock_filter *f = &filter.filter[at];
    if (known[at] != 0 || BPF_CLASS(f->code) == BPF_RET)
        return known[at] != 0 ? known[at] : 1;
    unsigned below;
    if (BPF_CLASS(f->code) != BPF_JMP) {
        below = longest_path(at + 1, known);
    } else if (BPF_OP(f->code) == BPF_JA) {
        below = longest_path(at + 1 + f->k, known);
    } else {
        unsigned yes = longest_path(at + 1 + f->jt, known);
        unsigned no = longest_path(at + 1 + f->jf, known);
        below = yes > no ? yes : no;
    }
    return known[at] = below + 1;
}

/* A tree over ranges of call numbers: a list would be as long as it is deep, and slow to install.
 */
static void test_the_filter_is_a_tree(void **state)
{
    (void)state;
    unsigned known[BPF_MAXINSNS] = {0};
    unsigned depth = longest_path(0, known);
    print_message("%u instructions, at most %u for one call\n", (unsigned)filter.len, depth);
    assert_true(filter.len < 512);
    assert_true(depth < 48);
}

static uint64_t permitted(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &head, sets) < 0)
        return UINT64_MAX;
    return sets[0].permitted | (uint64_t)sets[1].permitted << 32;
}

static uint64_t bounding(void)
{
    uint64_t mask = 0;
    for (unsigned cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            mask |= DT_CAP(cap);
    return mask;
}

static long keep_caps(const void *arg)
{
    uint64_t mask = *(const uint64_t *)arg;
    if (dt_caps_keep(mask) < 0)
        return -1;
    return permitted() == mask && bounding() == mask ? 0 : (errno = EDOM, -1);
}

static long no_caps(const void *arg)
{
    (void)arg;
    if (dt_caps_none() < 0)
        return -1;
    if (permitted() != 0 || bounding() != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return errno = EDOM, -1;
    /* uid 0 gains nothing by exec. */
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/sh", "sh", "-c",
                    "grep -q '^CapEff:.*0000000000000000$' /proc/self/status", NULL);
        _exit(1);
    }
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : (errno = EDOM, -1);
}

static long reduce_launcher(const void *arg)
{
    (void)arg;
    struct dt_err err;
    if (dt_caps_reduce_launcher(&err) < 0)
        return errno = err.sys_errno, -1;
    return permitted() == dt_caps_launcher ? 0 : (errno = EDOM, -1);
}

static long reduce_too_little(const void *arg)
{
    (void)arg;
    struct dt_err err;
    if (dt_caps_keep(DT_CAP(CAP_SETPCAP) | DT_CAP(CAP_CHOWN)) < 0)
        return -1;
    if (dt_caps_reduce_launcher(&err) == 0 || err.code != DT_E_FORBIDDEN)
        return errno = EDOM, -1;
    return strstr(err.msg, "CAP_SYS_ADMIN") != NULL && strstr(err.msg, "CAP_CHOWN") == NULL
               ? 0
               : (errno = EDOM, -1);
}

static void test_capabilities(void **state)
{
    (void)state;
    assert_true(dt_caps_sandbox == 0x800405fbULL);
    assert_int_equal(dt_caps_launcher & DT_CAP(CAP_SYS_RESOURCE), 0);
    assert_int_equal(confined(&filter, keep_caps, &dt_caps_sandbox), RAN);
    assert_int_equal(confined(&filter, no_caps, NULL), RAN);
    assert_int_equal(confined(&filter, reduce_launcher, NULL), RAN);
    assert_int_equal(confined(&filter, reduce_too_little, NULL), RAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dangerous_calls_are_refused),
        cmocka_unit_test(test_no_huge_pages),
        cmocka_unit_test(test_unknown_calls_do_not_exist),
        cmocka_unit_test(test_clone_makes_no_namespaces),
        cmocka_unit_test(test_socket_families),
        cmocka_unit_test(test_inet6_can_be_refused),
        cmocka_unit_test(test_terminal_injection),
        cmocka_unit_test(test_personality),
        cmocka_unit_test(test_the_core_limit_stays),
#ifdef __x86_64__
        cmocka_unit_test(test_the_32_bit_table_kills),
#endif
        cmocka_unit_test(test_a_second_filter_reopens_nothing),
        cmocka_unit_test(test_usual_work_goes_on),
        cmocka_unit_test(test_the_filter_is_a_tree),
        cmocka_unit_test(test_capabilities),
    };
    return cmocka_run_group_tests_name("seccomp", tests, build, release);
}
