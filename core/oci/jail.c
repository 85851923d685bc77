#include "oci/jail.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mount_api.h"
#include "oci/jail_filter.h"

#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

enum { IDS = 65536, REPORT = 6, FIRST_FREE = 7 };

/* The one message of the child. */
struct message {
    int32_t rc;
    int32_t code;
    int32_t sys_errno;
    char report[DT_JAIL_REPORT_MAX];
    char text[512];
};

/* fork() with namespaces: the caller has one thread, so nothing can be held half-way in the child.
 */
static pid_t clone_process(unsigned long flags)
{
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
}

static int write_map(pid_t pid, const char *file, struct dt_err *err)
{
    char path[64];
    char map[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    (void)snprintf(map, sizeof(map), "0 %u %d\n", DT_JAIL_ID_BASE, IDS);
    return dt_fd_put(AT_FDCWD, path, map, err);
}

int dt_jail_userns(int *ret, struct dt_err *err)
{
    int hold[2];
    if (pipe2(hold, O_CLOEXEC) < 0)
        return dt_err_errno(err, "pipe");
    DT_AUTO_FD int in = hold[0];
    DT_AUTO_FD int out = hold[1];
    pid_t pid = clone_process(CLONE_NEWUSER);
    if (pid < 0)
        return dt_err_errno(err, "create a user namespace");
    if (pid == 0) {
        char c;
        (void)close(out);
        _exit(read(in, &c, 1) == 0 ? 0 : 1);
    }
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    int fd = -1;
    int rc = 0;
    if (write_map(pid, "uid_map", err) < 0 || write_map(pid, "gid_map", err) < 0)
        rc = -1;
    else if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        rc = dt_err_errno(err, "open %s", path);
    (void)close(dt_take_fd(&out));
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    if (rc == 0)
        *ret = fd;
    return rc;
}

/* A detached mount of the folder that shows the ids on its disk as those of the namespace. Where
 * systemd runs, the folder's own mount is shared: what is mounted on it would spread. */
static int clone_tree(int rootfd, int userns, struct dt_err *err)
{
    DT_AUTO_FD int fd = (int)syscall(SYS_open_tree, rootfd, "",
                                     AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                          MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW,
                              .propagation = MS_PRIVATE,
                              .userns_fd = (uint64_t)userns};
    if (fd < 0)
        return dt_err_errno(err, "open_tree");
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return dt_err_errno(err,
                            "idmapped mount (needs Linux 5.12 and a file system that can do it; "
                            "ext4, xfs and btrfs can)");
    return dt_take_fd(&fd);
}

static int empty_tree(struct dt_err *err)
{
    DT_AUTO_FD int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "4k", 0) < 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return dt_err_errno(err, "create an empty file system");
    int fd =
        (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    return fd < 0 ? dt_err_errno(err, "mount an empty file system") : fd;
}

/* Over "/", then turned around: the old root is under the new one only until it is detached. */
static int enter_tree(int tree, struct dt_err *err)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return dt_err_errno(err, "make mounts private");
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return dt_err_errno(err, "move_mount");
    if (fchdir(tree) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return dt_err_errno(err, "pivot_root");
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return dt_err_errno(err, "detach the old root");
    return 0;
}

static int set_limits(struct dt_err *err)
{
    static const struct {
        __rlimit_resource_t what;
        rlim_t max;
    } rows[] = {
        {RLIMIT_CORE, 0},        {RLIMIT_NOFILE, 64},         {RLIMIT_NPROC, 0},
        {RLIMIT_MEMLOCK, 0},     {RLIMIT_MSGQUEUE, 0},        {RLIMIT_SIGPENDING, 16},
        {RLIMIT_CPU, 3600},      {RLIMIT_FSIZE, 64ull << 30},
#ifndef DT_JAIL_SANITIZED /* the sanitizers reserve terabytes */
        {RLIMIT_AS, 1ull << 30},
#endif
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rlimit r = {rows[i].max, rows[i].max};
        if (setrlimit(rows[i].what, &r) < 0)
            return dt_err_errno(err, "setrlimit");
    }
    return 0;
}

static int cut_capabilities(bool writes, struct dt_err *err)
{
    const unsigned keep = writes ? 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER |
                                       1u << CAP_FSETID | 1u << CAP_SETFCAP
                                 : 0;
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if ((cap > 31 || (keep & 1u << cap) == 0) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return dt_err_errno(err, "drop capability %d", cap);
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = keep, .permitted = keep}};
    if (syscall(SYS_capset, &head, data) < 0)
        return dt_err_errno(err, "capset");
    return 0;
}

/* Above the numbers that the child puts things at. */
static int raise_fd(int fd)
{
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD, FIRST_FREE);
}

/* In the child: out of the way of DT_JAIL_*, which later take their places. */
static int raise_all(struct dt_jail_spec *s, int *tree, int *report, struct dt_err *err)
{
    int *const all[] = {&s->in, &s->out, &s->userns, tree, report};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        int was = *all[i];
        *all[i] = raise_fd(was);
        if (was >= 0 && *all[i] < 0)
            return dt_err_errno(err, "duplicate a descriptor");
    }
    return 0;
}

/* Leaves DT_JAIL_* and the report, and under the sanitizers what they print to. */
static int keep_descriptors(const struct dt_jail_spec *s, int *report, struct dt_err *err)
{
    int root = open("/", O_PATH | O_DIRECTORY);
    const struct {
        int from, to;
    } rows[] = {
        {root, DT_JAIL_ROOT}, {s->in, DT_JAIL_IN}, {s->out, DT_JAIL_OUT}, {*report, REPORT}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].from < 0)
            (void)close(rows[i].to);
        else if (rows[i].from != rows[i].to && dup2(rows[i].from, rows[i].to) < 0)
            return dt_err_errno(err, "place a descriptor");
    }
    *report = REPORT;
    if (syscall(SYS_close_range, FIRST_FREE, ~0u, 0) < 0)
        return dt_err_errno(err, "close_range");
#ifndef DT_JAIL_SANITIZED
    if (syscall(SYS_close_range, 0, 2, 0) < 0)
        return dt_err_errno(err, "close_range");
#endif
    return 0;
}

static int confine(const struct dt_jail_spec *s, int tree, int *report, struct dt_err *err)
{
    if (enter_tree(tree, err) < 0)
        return -1;
    if (setgroups(0, NULL) < 0 || setns(s->userns, CLONE_NEWUSER) < 0)
        return dt_err_errno(err, "enter the user namespace");
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return dt_err_errno(err, "become root of the user namespace");
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return dt_err_errno(err, "prctl");
    if (cut_capabilities(s->rootfd >= 0, err) < 0)
        return -1;
    (void)umask(0);
    if (keep_descriptors(s, report, err) < 0 || set_limits(err) < 0)
        return -1;
    return dt_jail_filter_install(err);
}

_Noreturn static void child(const struct dt_jail_spec *given, int tree, int report)
{
    struct dt_jail_spec spec = *given;
    struct message m = {0};
    struct dt_err err = {0};
    if (raise_all(&spec, &tree, &report, &err) < 0)
        _exit(1);
    m.rc = confine(&spec, tree, &report, &err);
    if (m.rc == 0)
        m.rc = spec.run(spec.ctx, m.report, &err);
    m.code = (int32_t)err.code;
    m.sys_errno = err.sys_errno;
    memcpy(m.text, err.msg, sizeof(m.text));
    _exit(write(report, &m, sizeof(m)) == (ssize_t)sizeof(m) ? 0 : 1);
}

static int start(const struct dt_jail_spec *s, int tree, struct dt_jail *ret, struct dt_err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return dt_err_errno(err, "pipe");
    DT_AUTO_FD int in = ends[0];
    DT_AUTO_FD int out = ends[1];
    pid_t pid = clone_process(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                              CLONE_NEWUTS | CLONE_NEWCGROUP);
    if (pid < 0)
        return dt_err_errno(err, "create namespaces");
    if (pid == 0)
        child(s, tree, out);
    ret->pid = pid;
    ret->report_fd = dt_take_fd(&in);
    return 0;
}

int dt_jail_start(const struct dt_jail_spec *spec, struct dt_jail *ret, struct dt_err *err)
{
    DT_AUTO_FD int tree =
        spec->rootfd >= 0 ? clone_tree(spec->rootfd, spec->userns, err) : empty_tree(err);
    return tree < 0 ? -1 : start(spec, tree, ret, err);
}

/* The whole message, or what kept it from coming. */
static int receive(const struct dt_jail *j, uint64_t timeout_ms, struct message *m,
                   struct dt_err *err)
{
    uint64_t deadline = dt_clock_ms() + timeout_ms;
    size_t have = 0;
    while (have < sizeof(*m)) {
        uint64_t now = dt_clock_ms();
        struct pollfd p = {.fd = j->report_fd, .events = POLLIN};
        int ready = now < deadline ? poll(&p, 1, (int)(deadline - now)) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return dt_err_set(err, DT_E_TIMEOUT, "the unpacking process did not end in time");
        ssize_t got = read(j->report_fd, (char *)m + have, sizeof(*m) - have);
        if (got <= 0)
            return dt_err_set(err, DT_E_SYSTEM, "the unpacking process died");
        have += (size_t)got;
    }
    return 0;
}

/* The text comes from where hostile bytes are parsed: one line of printable characters, no more. */
static void clean(char *text, size_t n)
{
    text[n - 1] = '\0';
    for (char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
}

int dt_jail_wait(struct dt_jail *j, uint64_t timeout_ms, void *report, struct dt_err *err)
{
    struct message m = {0};
    int rc = receive(j, timeout_ms, &m, err);
    dt_jail_kill(j);
    if (rc < 0)
        return -1;
    if (m.rc != 0) {
        clean(m.text, sizeof(m.text));
        bool known = m.code > DT_OK && m.code <= DT_E_PROCESS_EXECUTION_TIMEOUT;
        (void)dt_err_set(err, known ? (enum dt_err_code)m.code : DT_E_SYSTEM, "%s", m.text);
        if (err != NULL)
            err->sys_errno = m.sys_errno;
        return -1;
    }
    if (report != NULL)
        memcpy(report, m.report, sizeof(m.report));
    return 0;
}

void dt_jail_kill(struct dt_jail *j)
{
    if (j->pid <= 0)
        return;
    (void)kill(j->pid, SIGKILL);
    while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    (void)close(j->report_fd);
    j->pid = 0;
    j->report_fd = -1;
}
