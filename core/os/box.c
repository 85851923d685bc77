#include "os/box.h"

#include <assert.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "os/caps.h"
#include "os/rootfs.h"
#include "os/seccomp.h"
#include "os/userns.h"

/* What the child writes before exec; the end of the pipe then means that exec happened. */
#define READY '+'

enum { FD_LISTENER = 3, FD_CONFIG = 4, FD_REST = 5, FD_ASIDE = 16 };

struct report {
    char kind; /* READY or '-' */
    char text[255];
};

static int become_root(struct dt_err *err)
{
    if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setgroups, 0, NULL) < 0 ||
        syscall(SYS_setresuid, 0, 0, 0) < 0)
        return dt_err_errno(err, "become root of the sandbox");
    if (setsid() < 0)
        return dt_err_errno(err, "new session");
    return 0;
}

static void reset_signals(void)
{
    sigset_t none;
    (void)sigemptyset(&none);
    for (int i = 1; i < NSIG; i++)
        (void)signal(i, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int set_limits(struct dt_err *err)
{
    static const struct {
        int what;
        rlim_t soft, hard;
    } limits[] = {
        {RLIMIT_CORE, 0, 0},
        {RLIMIT_NOFILE, 1024, 65536},
        {RLIMIT_MEMLOCK, 8 << 20, 8 << 20},
        {RLIMIT_MSGQUEUE, 819200, 819200},
        {RLIMIT_SIGPENDING, 4096, 4096},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        struct rlimit now;
        if (getrlimit(limits[i].what, &now) < 0)
            return dt_err_errno(err, "read resource limits");
        /* The host's own limit may be lower, and cannot be raised from here. */
        rlim_t hard = limits[i].hard < now.rlim_max ? limits[i].hard : now.rlim_max;
        struct rlimit set = {limits[i].soft < hard ? limits[i].soft : hard, hard};
        if (setrlimit(limits[i].what, &set) < 0)
            return dt_err_errno(err, "set resource limits");
    }
    return 0;
}

/* Moves what exec needs out of the way of the numbers it will have. */
static int set_aside(int *fd)
{
    *fd = fcntl(*fd, F_DUPFD_CLOEXEC, FD_ASIDE);
    return *fd;
}

static int place_descriptors(struct dt_box_spec *s, int *status, struct dt_err *err)
{
    if (set_aside(&s->listener) < 0 || set_aside(&s->config) < 0 || set_aside(&s->toolbox) < 0 ||
        set_aside(status) < 0)
        return dt_err_errno(err, "copy descriptors");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return dt_err_errno(err, "open /dev/null");
    if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
        dup2(s->listener, FD_LISTENER) < 0 || dup2(s->config, FD_CONFIG) < 0 ||
        syscall(SYS_close_range, FD_REST, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        return dt_err_errno(err, "place descriptors");
    return 0;
}

static int set_up(struct dt_box_spec *s, int *status, struct dt_err *err)
{
    const struct dt_rootfs root = {
        .root = s->overlay, .sysfs = s->sysfs, .shm_bytes = s->shm_bytes};
    if (become_root(err) < 0 || dt_rootfs_enter(&root, err) < 0 || set_limits(err) < 0)
        return -1;
    if (sethostname(s->hostname, strlen(s->hostname)) < 0)
        return dt_err_errno(err, "set the host name");
    if (place_descriptors(s, status, err) < 0)
        return -1;
    if (dt_seccomp_install(s->filter) < 0)
        return dt_err_errno(err, "install the system call filter");
    if (dt_caps_keep(dt_caps_sandbox) < 0)
        return dt_err_errno(err, "drop capabilities");
    return 0;
}

static void say(int status, char kind, const char *text)
{
    struct report r = {.kind = kind};
    (void)snprintf(r.text, sizeof(r.text), "%s", text);
    /* Without a reader the launcher is gone; nobody is left to tell. */
    ssize_t n = write(status, &r, sizeof(r));
    (void)n;
}

static _Noreturn void child(struct dt_box_spec s, int go, int status)
{
    char c;
    reset_signals();
    if (read(go, &c, 1) != 1)
        _exit(1);
    struct dt_err err = {.code = DT_OK};
    if (set_up(&s, &status, &err) == 0) {
        char name[] = "daytona-toolbox";
        char *argv[] = {name, NULL};
        char *env[] = {NULL};
        say(status, READY, "");
        (void)syscall(SYS_execveat, s.toolbox, "", argv, env, AT_EMPTY_PATH);
        (void)dt_err_errno(&err, "execute the toolbox (it must be a static program)");
    }
    say(status, '-', err.msg);
    _exit(1);
}

static pid_t clone_into(const struct dt_box_spec *s, int *pidfd, struct dt_err *err)
{
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                 CLONE_NEWCGROUP | CLONE_PIDFD | CLONE_INTO_CGROUP,
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)s->cgroup,
    };
    if (setns(s->netns, CLONE_NEWNET) < 0)
        return dt_err_errno(err, "enter the sandbox's network");
    pid_t pid = dt_userns_clone(&args, s->base);
    if (pid == 0)
        return 0;
    int saved = errno;
    int back = setns(s->host_netns, CLONE_NEWNET);
    assert(back == 0); /* a launcher in a sandbox's network must not go on */
    (void)back;
    errno = saved;
    if (pid < 0)
        return dt_err_errno(err, "clone the sandbox's first process");
    return pid;
}

int dt_box_clone(const struct dt_box_spec *spec, struct dt_box *box, struct dt_err *err)
{
    int go[2] = {-1, -1};
    int status[2] = {-1, -1};
    if (pipe2(go, O_CLOEXEC) < 0)
        return dt_err_errno(err, "pipe");
    DT_AUTO_FD int go_in = go[0];
    DT_AUTO_FD int go_out = go[1];
    if (pipe2(status, O_CLOEXEC) < 0)
        return dt_err_errno(err, "pipe");
    DT_AUTO_FD int status_in = status[0];
    DT_AUTO_FD int status_out = status[1];
    if (fcntl(status_in, F_SETFL, O_NONBLOCK) < 0)
        return dt_err_errno(err, "pipe");

    int pidfd = -1;
    pid_t pid = clone_into(spec, &pidfd, err);
    if (pid < 0)
        return -1;
    if (pid == 0) {
        (void)close(go_out);
        (void)close(status_in);
        child(*spec, go_in, status_out);
    }
    *box = (struct dt_box){pid, pidfd, dt_take_fd(&go_out), dt_take_fd(&status_in), false};
    return dt_userns_map(pid, spec->base, err) < 0 ? (dt_box_abort(box), -1) : 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(dt_take_fd(fd));
}

int dt_box_go(struct dt_box *box, struct dt_err *err)
{
    ssize_t n = write(box->go, "", 1);
    if (n != 1)
        return dt_err_errno(err, "wake the sandbox's first process");
    close_fd(&box->go);
    return 0;
}

int dt_box_result(struct dt_box *box, struct dt_err *err)
{
    for (;;) {
        struct report r;
        ssize_t n = read(box->status, &r, sizeof(r));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n == (ssize_t)sizeof(r) && r.kind == READY) {
            box->ready = true;
            continue;
        }
        if (n == 0 && box->ready)
            return 1;
        if (n == (ssize_t)sizeof(r)) {
            r.text[sizeof(r.text) - 1] = '\0';
            return dt_err_set(err, DT_E_SYSTEM, "%s", r.text);
        }
        return dt_err_set(err, DT_E_SYSTEM,
                          "the sandbox's first process was killed while it was set up");
    }
}

void dt_box_abort(struct dt_box *box)
{
    if (box->pid > 0) {
        (void)kill(box->pid, SIGKILL);
        while (waitpid(box->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    close_fd(&box->pidfd);
    close_fd(&box->go);
    close_fd(&box->status);
    box->pid = -1;
}
