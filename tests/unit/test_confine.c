/* The walls around daytona-runnerd: each test puts a child behind them and lets it try. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "os/filter.h"
#include "os/landlock.h"
#include "runnerd/confine.h"

/* Where the kernel cannot follow: whoever gets that far answers EFAULT or EBADF. */
#define BAD ((long)-8)

enum { DIED = 1000, BROKEN = 2000 };

static struct sock_fprog filter;

static int build(void **state)
{
    (void)state;
    return dt_confine_filter(0, &filter, NULL);
}

static int release(void **state)
{
    (void)state;
    dt_filter_free(&filter);
    return 0;
}

static bool install(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

/* In a child behind the filter: what fn() returned, or DIED + signal. */
static int confined(int (*fn)(const void *), const void *arg)
{
    int fds[2], status, got = BROKEN;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int result = install() ? fn(arg) : BROKEN;
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

static int make_call(const void *arg)
{
    const struct call *c = arg;
    const long *a = c->args;
    return syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]) < 0 ? errno : 0;
}

static void check_calls(const struct call *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int got = confined(make_call, &rows[i]);
        if (got != rows[i].want)
            fail_msg("%s: %d, not %d", rows[i].name, got, rows[i].want);
    }
}
#define CHECK_CALLS(rows) check_calls(rows, sizeof(rows) / sizeof((rows)[0]))

#define PERM(call, ...)                                                                            \
    {                                                                                              \
        .name = #call, .nr = SYS_##call, .args = {__VA_ARGS__}, .want = EPERM                      \
    }
#define NOSYS(call, ...)                                                                           \
    {                                                                                              \
        .name = #call, .nr = SYS_##call, .args = {__VA_ARGS__}, .want = ENOSYS                     \
    }

/* As root of the host: nothing but the filter says no here. */
static void test_what_a_daemon_has_no_use_for(void **state)
{
    (void)state;
    static const struct call rows[] = {
        PERM(execve, BAD, BAD, BAD),
        PERM(execveat, -1, BAD, BAD, BAD, 0),
        PERM(ptrace, PTRACE_ATTACH, 1, 0, 0),
        PERM(process_vm_readv, 1, BAD, 1, BAD, 1, 0),
        PERM(process_vm_writev, 1, BAD, 1, BAD, 1, 0),
        PERM(pidfd_open, 1, 0),
        PERM(pidfd_getfd, -1, 0, 0),
        PERM(kill, 1, 0),
        PERM(unshare, CLONE_NEWUSER),
        PERM(setns, -1, 0),
        PERM(mount, BAD, BAD, BAD, 0, BAD),
        PERM(umount2, BAD, 0),
        PERM(pivot_root, BAD, BAD),
        PERM(chroot, BAD),
        PERM(open_tree, -1, BAD, 0),
        PERM(move_mount, -1, BAD, -1, BAD, 0),
        PERM(fsopen, BAD, 0),
        PERM(mount_setattr, -1, BAD, 0, BAD, 0),
        PERM(open_by_handle_at, -1, BAD, 0),
        PERM(bpf, 5, BAD, 1),
        PERM(perf_event_open, BAD, 0, -1, -1, 0),
        PERM(userfaultfd, -1),
        PERM(keyctl, -1),
        PERM(add_key, BAD, BAD, BAD, 1, 0),
        PERM(init_module, BAD, 1, BAD),
        PERM(finit_module, -1, BAD, 0),
        PERM(delete_module, BAD, 0),
        PERM(kexec_load, 0, 1, BAD, 0),
        PERM(reboot, 1, 2, 3, BAD),
        PERM(swapon, BAD, 0),
        PERM(syslog, -1),
        PERM(clock_settime, -1, BAD),
        PERM(sethostname, BAD, 1),
        PERM(setresuid, 0, 0, 0),
        PERM(setgroups, 0, BAD),
        PERM(capset, BAD, BAD),
        PERM(personality, 0),
        PERM(mknodat, -1, BAD, 0, 0),
        PERM(symlinkat, BAD, -1, BAD),
        PERM(linkat, -1, BAD, -1, BAD, 0),
        PERM(prctl, PR_SET_DUMPABLE, 1),
        PERM(prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, BAD),
        PERM(prlimit64, 1, RLIMIT_NOFILE, 0, 0),
        NOSYS(io_uring_setup, 1, BAD),
        NOSYS(clone3, BAD, 88),
        NOSYS(seccomp, 0, 0, BAD),
        NOSYS(inotify_init1, 0),
        NOSYS(mq_open, BAD, 0),
        {.name = "999", .nr = 999, .want = ENOSYS},
#ifdef __x86_64__
        PERM(fork, 0),
        PERM(vfork, 0),
        PERM(modify_ldt, 1, BAD, 16),
        {.name = "x32", .nr = 0x40000000 + SYS_getpid, .want = ENOSYS},
#endif
    };
    CHECK_CALLS(rows);
}

static void test_no_new_processes(void **state)
{
    (void)state;
    /* Without CLONE_SIGHAND a thread is EINVAL where the filter lets it through. */
    static const struct call rows[] = {
        PERM(clone, SIGCHLD, 0, 0, 0, 0),
        PERM(clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0),
        PERM(clone, CLONE_THREAD | CLONE_NEWUSER, 0, 0, 0, 0),
        PERM(clone, CLONE_THREAD | CLONE_NEWNET, 0, 0, 0, 0),
        PERM(clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0),
        {.name = "a thread", .nr = SYS_clone, .args = {CLONE_THREAD}, .want = EINVAL},
    };
    CHECK_CALLS(rows);
}

static void test_sockets(void **state)
{
    (void)state;
    static const struct call rows[] = {
        {"unix", SYS_socket, {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0}, 0},
        {"tcp", SYS_socket, {AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0}, 0},
        {"tcp6", SYS_socket, {AF_INET6, SOCK_STREAM, IPPROTO_TCP}, 0},
        {"udp", SYS_socket, {AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP}, 0},
        {"raw", SYS_socket, {AF_INET, SOCK_RAW, IPPROTO_TCP}, EPROTONOSUPPORT},
        {"ping", SYS_socket, {AF_INET, SOCK_DGRAM, IPPROTO_ICMP}, EPROTONOSUPPORT},
        {"mptcp", SYS_socket, {AF_INET, SOCK_STREAM, 262}, EPROTONOSUPPORT},
        {"sctp", SYS_socket, {AF_INET, SOCK_STREAM, IPPROTO_SCTP}, EPROTONOSUPPORT},
        {"netlink", SYS_socket, {AF_NETLINK, SOCK_RAW, NETLINK_ROUTE}, EAFNOSUPPORT},
        {"nftables", SYS_socket, {AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER}, EAFNOSUPPORT},
        {"packet", SYS_socket, {AF_PACKET, SOCK_RAW, 0}, EAFNOSUPPORT},
        {"vsock", SYS_socket, {AF_VSOCK, SOCK_STREAM, 0}, EAFNOSUPPORT},
        {"alg", SYS_socket, {AF_ALG, SOCK_SEQPACKET, 0}, EAFNOSUPPORT},
        {"unix above 32 bits", SYS_socket, {0x100000000 | AF_NETLINK, SOCK_RAW, 0}, EAFNOSUPPORT},
        {"a pair of tipc", SYS_socketpair, {AF_TIPC, SOCK_STREAM, 0, BAD}, EAFNOSUPPORT},
        {"terminal injection", SYS_ioctl, {0, TIOCSTI, BAD}, EPERM},
        {"an ioctl of nobody", SYS_ioctl, {0, 0xdead, BAD}, EPERM},
    };
    CHECK_CALLS(rows);
}

static int write_and_execute(const void *arg)
{
    (void)arg;
    const size_t n = 4096;
    if (mmap(NULL, n, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        return 1;
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p, n, PROT_READ) < 0)
        return 2;
    return mprotect(p, n, PROT_READ | PROT_EXEC) == 0 ? 3 : errno == EPERM ? 0 : 4;
}

static void test_no_code_that_was_written(void **state)
{
    (void)state;
    assert_int_equal(confined(write_and_execute, NULL), 0);
}

static void *say_hello(void *arg)
{
    *(int *)arg = 7;
    return NULL;
}

static int use_a_thread(void)
{
    pthread_t t;
    int said = 0;
    return pthread_create(&t, NULL, say_hello, &said) == 0 && pthread_join(t, NULL) == 0 &&
                   said == 7
               ? 0
               : -1;
}

/* What the launcher hands over: a TCP socket of another network namespace, to be connected here. */
static int take_a_socket(int from)
{
    char c;
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    if (recvmsg(from, &m, MSG_CMSG_CLOEXEC) != 1)
        return -1;
    const struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    return h != NULL && h->cmsg_type == SCM_RIGHTS ? *(const int *)CMSG_DATA(h) : -1;
}

struct listening {
    struct sockaddr_in at;
    int door; /* a descriptor comes from here */
};

static int work(const void *arg)
{
    const struct listening *l = arg;
    char name[] = "/tmp/dt-confine-XXXXXX", c;
    int file = mkstemp(name);
    if (file < 0 || write(file, "x", 1) != 1 || fsync(file) < 0 || pread(file, &c, 1, 0) != 1 ||
        unlink(name) < 0 || close(file) < 0)
        return 1;
    int given = take_a_socket(l->door);
    if (given < 0 || connect(given, (const struct sockaddr *)&l->at, sizeof(l->at)) < 0)
        return 2;
    int memory = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0 || fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE) < 0)
        return 3;
    return use_a_thread() < 0 ? 4 : 0;
}

static void send_socket(int to, int fd)
{
    char c = 'x';
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &fd, sizeof(fd));
    assert_int_equal(sendmsg(to, &m, 0), 1);
}

static void test_its_work_goes_on(void **state)
{
    (void)state;
    struct listening l = {.at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    int pair[2];
    DT_AUTO_FD int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    DT_AUTO_FD int given = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&l.at, sizeof(l.at)), 0);
    assert_int_equal(listen(server, 4), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *)&l.at, &(socklen_t){sizeof(l.at)}), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    send_socket(pair[0], given);
    l.door = pair[1];
    assert_int_equal(confined(work, &l), 0);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static int fail_an_assertion(const void *arg)
{
    (void)arg;
    abort();
}

static void test_a_bug_still_ends_it(void **state)
{
    (void)state;
    assert_int_equal(confined(fail_an_assertion, NULL), DIED + SIGABRT);
}

/* --- Landlock --- */

struct tree {
    char top[32], own[64], own_file[80], other[64], other_file[80];
};

static void touch(const char *path)
{
    DT_AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
}

static void plant(struct tree *t)
{
    (void)snprintf(t->top, sizeof(t->top), "/tmp/dt-landlock-XXXXXX");
    assert_non_null(mkdtemp(t->top));
    (void)snprintf(t->own, sizeof(t->own), "%s/own", t->top);
    (void)snprintf(t->other, sizeof(t->other), "%s/other", t->top);
    (void)snprintf(t->own_file, sizeof(t->own_file), "%s/file", t->own);
    (void)snprintf(t->other_file, sizeof(t->other_file), "%s/file", t->other);
    assert_int_equal(mkdir(t->own, 0700), 0);
    assert_int_equal(mkdir(t->other, 0700), 0);
    touch(t->own_file);
    touch(t->other_file);
}

static bool is_refused(int rc)
{
    return rc < 0 && errno == EACCES;
}

static bool makes_socket(const char *folder)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof(a.sun_path), "%.80s/sock", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && unlink(a.sun_path) == 0;
}

static int in_its_own_place(const struct tree *t)
{
    char other[96];
    (void)snprintf(other, sizeof(other), "%s/new", t->own);
    int fd = open(t->own_file, O_RDWR);
    if (fd < 0 || open(t->own, O_RDONLY | O_DIRECTORY) < 0 || ftruncate(fd, 0) < 0)
        return 1;
    if (rename(t->own_file, other) < 0 || unlink(other) < 0 || !makes_socket(t->own))
        return 2;
    return is_refused(mkdir(other, 0700)) && is_refused(symlink("/", other)) ? 0 : 3;
}

static int in_other_places(const struct tree *t, int version)
{
    char other[96];
    (void)snprintf(other, sizeof(other), "%s/new", t->other);
    if (!is_refused(open(t->other_file, O_RDONLY)) || !is_refused(open("/etc/shadow", O_RDONLY)) ||
        !is_refused(open(t->other_file, O_WRONLY)) || !is_refused(open("/proc/1/status", O_RDONLY)))
        return 10;
    if (!is_refused(open(other, O_WRONLY | O_CREAT, 0600)) || !is_refused(unlink(t->other_file)) ||
        !is_refused(open(t->other, O_RDONLY | O_DIRECTORY)) || makes_socket(t->other))
        return 11;
    if (version >= 3 && !is_refused(truncate(t->other_file, 0)))
        return 12;
    char *const argv[] = {"true", NULL};
    return is_refused(execv("/bin/true", argv)) ? 0 : 13;
}

/* Of others: version 6. */
static int other_processes(const struct sockaddr_un *abstract)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)abstract, sizeof(*abstract)) == 0 || errno != EPERM)
        return 20;
    return kill(getppid(), 0) < 0 && errno == EPERM ? 0 : 21;
}

static int behind_landlock(const struct tree *t, const struct sockaddr_un *abstract)
{
    struct dt_err err;
    const struct dt_landlock_place places[] = {
        {t->own, DT_LANDLOCK_READ | DT_LANDLOCK_WRITE | DT_LANDLOCK_SOCKETS},
        {"/nowhere/at/all", DT_LANDLOCK_READ},
        {"", DT_LANDLOCK_READ}};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return BROKEN;
    int version = dt_landlock_restrict(places, 3, &err);
    if (version <= 0) /* without it, nothing may have changed */
        return version < 0 || open(t->other_file, O_RDONLY) < 0 ? BROKEN : 0;
    int rc = in_its_own_place(t);
    if (rc == 0)
        rc = in_other_places(t, version);
    return rc == 0 && version >= 6 ? other_processes(abstract) : rc;
}

static void test_only_its_own_files(void **state)
{
    (void)state;
    struct tree t;
    struct dt_err err;
    int status;
    struct sockaddr_un abstract = {.sun_family = AF_UNIX};
    (void)snprintf(abstract.sun_path + 1, sizeof(abstract.sun_path) - 1, "dt-confine-%d", getpid());
    DT_AUTO_FD int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&abstract, sizeof(abstract)), 0);
    assert_int_equal(listen(server, 4), 0);
    plant(&t);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(behind_landlock(&t, &abstract) % 256);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    DT_AUTO_FD int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(dt_fd_remove_tree(tmp, strrchr(t.top, '/') + 1, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_daemon_has_no_use_for),
        cmocka_unit_test(test_no_new_processes),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_no_code_that_was_written),
        cmocka_unit_test(test_its_work_goes_on),
        cmocka_unit_test(test_a_bug_still_ends_it),
        cmocka_unit_test(test_only_its_own_files),
    };
    return cmocka_run_group_tests_name("confine", tests, build, release);
}
