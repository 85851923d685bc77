/* Processes, privileges and limits. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* What a container's root usually has, without NET_RAW, MKNOD and AUDIT_WRITE. */
#define MOST_CAPS 0x800405fbULL

static void attempt_caps(const struct probe *p, struct outcome *out)
{
    (void)p;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &head, sets) < 0) {
        say(out, false, "capget failed");
        return;
    }
    uint64_t has = sets[0].permitted | (uint64_t)sets[1].permitted << 32;
    for (int cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            has |= 1ULL << cap;
    say(out, (has & ~MOST_CAPS) == 0, "permitted and bounding: %llx", (unsigned long long)has);
}

static void attempt_capset(const struct probe *p, struct outcome *out)
{
    (void)p;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2] = {{~0U, ~0U, ~0U}, {0x1ff, 0x1ff, 0x1ff}};
    judge_any(out, syscall(SYS_capset, &head, sets));
}

static void attempt_filter(const struct probe *p, struct outcome *out)
{
    (void)p;
    int mode = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
    say(out, mode == 2, "mode %d", mode);
}

static void attempt_fds(const struct probe *p, struct outcome *out)
{
    (void)p;
    DIR *d = opendir("/proc/self/fd");
    const struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        long fd = strtol(e->d_name, NULL, 10);
        char to[100];
        ssize_t n = readlinkat(dirfd(d), e->d_name, to, sizeof(to) - 1);
        if (fd <= 2 || fd == dirfd(d) || n < 0)
            continue;
        if (fcntl((int)fd, F_GETFD) == FD_CLOEXEC) /* our own answer's; what came by exec is not */
            continue;
        to[n] = '\0';
        say(out, false, "%ld is %s", fd, to);
        return;
    }
    say(out, d != NULL, "none");
}

static void attempt_ptrace(const struct probe *p, struct outcome *out)
{
    (void)p;
    judge_any(out, ptrace(PTRACE_SEIZE, 1, NULL, NULL));
}

static void attempt_vm_read(const struct probe *p, struct outcome *out)
{
    (void)p;
    char to[8];
    struct iovec local = {to, sizeof(to)}, remote = {(void *)0x400000, sizeof(to)};
    static const int eperm[] = {EPERM};
    judge(out, process_vm_readv(1, &local, 1, &remote, 1, 0), eperm, 1);
}

static void attempt_kill_init(const struct probe *p, struct outcome *out)
{
    (void)kill(1, (int)p->args[0]);
    /* It would take us along, or stop answering signals. */
    say(out, kill(1, 0) == 0 || errno == EPERM, "pid 1 lives");
}

static void attempt_pid2(const struct probe *p, struct outcome *out)
{
    (void)p;
    char comm[32] = "";
    int fd = open("/proc/2/comm", O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, comm, sizeof(comm) - 1);
    say(out, n <= 0 || strncmp(comm, "kthreadd", 8) != 0, "pid 2 is '%.*s'",
        (int)strcspn(comm, "\n"), comm);
}

static void attempt_rlimit(const struct probe *p, struct outcome *out)
{
    struct rlimit now;
    int what = (int)p->args[0];
    if (getrlimit((__rlimit_resource_t)what, &now) < 0) {
        say(out, false, "getrlimit failed");
        return;
    }
    if (now.rlim_max == RLIM_INFINITY || now.rlim_max > (rlim_t)p->args[1]) {
        say(out, false, "the limit is %llu", (unsigned long long)now.rlim_max);
        return;
    }
    now.rlim_max++;
    judge_any(out, setrlimit((__rlimit_resource_t)what, &now));
}

/* With any other limit than 1, the program of a piped core_pattern runs as root of the host. */
static void attempt_core(const struct probe *p, struct outcome *out)
{
    (void)p;
    const struct rlimit none = {0, 0}, all = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit now, old;
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)syscall(SYS_setrlimit, RLIMIT_CORE, &none);
    (void)syscall(SYS_setrlimit, RLIMIT_CORE | 1L << 32, &all);
    (void)prlimit(getpid(), RLIMIT_CORE, &none, &old);
    if (getrlimit(RLIMIT_CORE, &now) < 0)
        judge_any(out, 0);
    else
        say(out, now.rlim_cur == 1 && now.rlim_max == 1, "from %llu to %llu",
            (unsigned long long)now.rlim_cur, (unsigned long long)now.rlim_max);
}

static void attempt_nice(const struct probe *p, struct outcome *out)
{
    (void)p;
    judge_any(out, setpriority(PRIO_PROCESS, 0, -20));
}

static void attempt_fifo(const struct probe *p, struct outcome *out)
{
    (void)p;
    struct sched_param param = {.sched_priority = 50};
    judge_any(out, sched_setscheduler(0, SCHED_FIFO, &param));
}

static void attempt_setuid(const struct probe *p, struct outcome *out)
{
    judge_any(out, setresuid((uid_t)p->args[0], (uid_t)p->args[0], (uid_t)p->args[0]));
}

static void attempt_chown(const struct probe *p, struct outcome *out)
{
    char path[] = "/tmp/probe-XXXXXX";
    int fd = mkstemp(path);
    long ret = fd < 0 ? fd : fchown(fd, (uid_t)p->args[0], (gid_t)-1);
    int e = errno;
    (void)unlink(path);
    errno = e;
    judge_any(out, ret);
}

static void attempt_interface(const struct probe *p, struct outcome *out)
{
    struct ifreq r = {.ifr_flags = 0};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    (void)snprintf(r.ifr_name, sizeof(r.ifr_name), "lo");
    judge_any(out, fd < 0 ? fd : ioctl(fd, (unsigned long)p->args[0], &r));
}

static void attempt_option(const struct probe *p, struct outcome *out)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    judge_any(out,
              fd < 0 ? fd : setsockopt(fd, (int)p->args[0], (int)p->args[1], &one, sizeof(one)));
}

static void attempt_inotify(const struct probe *p, struct outcome *out)
{
    for (long i = 0; i < p->args[0]; i++)
        if (inotify_init1(IN_CLOEXEC) < 0) {
            say(out, true, "ended at %ld", i);
            return;
        }
    say(out, false, "%ld instances", p->args[0]);
}

static void attempt_ptys(const struct probe *p, struct outcome *out)
{
    for (long i = 0; i < p->args[0]; i++)
        if (open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC) < 0) {
            say(out, true, "ended at %ld", i);
            return;
        }
    say(out, false, "%ld ptys", p->args[0]);
}

static void attempt_cwd(const struct probe *p, struct outcome *out)
{
    (void)p;
    char path[4096];
    long n = syscall(SYS_getcwd, path, sizeof(path));
    say(out, n > 0 && path[0] == '/', "%.150s", n > 0 ? path : "none");
}

static void attempt_above_root(const struct probe *p, struct outcome *out)
{
    (void)p;
    struct stat root, above;
    bool same = stat("/", &root) == 0 && stat("/..", &above) == 0 && root.st_ino == above.st_ino &&
                root.st_dev == above.st_dev;
    say(out, same, same ? "is the root itself" : "is another folder");
}

static const struct probe rows[] = {
    {.name = "descriptors beyond 2", .attempt = attempt_fds},
    {.name = "capabilities beyond a container's", .attempt = attempt_caps},
    {.name = "capset of all", .attempt = attempt_capset},
    {.name = "to be without a filter", .attempt = attempt_filter},
    {.name = "ptrace pid 1", .attempt = attempt_ptrace},
    {.name = "process_vm_readv of pid 1", .attempt = attempt_vm_read},
    {"SIGKILL to pid 1", attempt_kill_init, .args = {SIGKILL}},
    {"SIGSTOP to pid 1", attempt_kill_init, .args = {SIGSTOP}},
    {.name = "kernel threads", .attempt = attempt_pid2},
    {.name = "a core limit", .attempt = attempt_core},
    {"rlimit nofile", attempt_rlimit, .args = {RLIMIT_NOFILE, 1 << 20}},
    {"rlimit memlock", attempt_rlimit, .args = {RLIMIT_MEMLOCK, 1 << 30}},
    {"rlimit msgqueue", attempt_rlimit, .args = {RLIMIT_MSGQUEUE, 1 << 24}},
    {"rlimit sigpending", attempt_rlimit, .args = {RLIMIT_SIGPENDING, 1 << 18}},
    {.name = "nice -20", .attempt = attempt_nice},
    {.name = "SCHED_FIFO", .attempt = attempt_fifo},
    {"to become root", attempt_setuid, .args = {0}, .who = USER_ONLY},
    {"to become an id of the host", attempt_setuid, .args = {100000}},
    {"to give a file to an id of the host", attempt_chown, .args = {100000}},
    {"loopback's flags", attempt_interface, .args = {SIOCSIFFLAGS}},
    {"loopback's address", attempt_interface, .args = {SIOCSIFADDR}},
    {"SO_MARK", attempt_option, .args = {SOL_SOCKET, SO_MARK}},
    {"SO_RCVBUFFORCE", attempt_option, .args = {SOL_SOCKET, SO_RCVBUFFORCE}},
    {"IP_TRANSPARENT", attempt_option, .args = {0, 19}},
    {"10,000 inotify instances", attempt_inotify, .args = {10000}},
    {"2,000 ptys", attempt_ptys, .args = {2000}},
    {.name = "a working folder out of the tree", .attempt = attempt_cwd},
    {.name = "/..", .attempt = attempt_above_root},
};

const struct probe_list probe_processes = {rows, sizeof(rows) / sizeof(rows[0])};
