#include "os/box.h"

#include <assert.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fdpass.h"
#include "os/caps.h"
#include "os/rootfs.h"
#include "os/seccomp.h"
#include "os/userns.h"

/* What the child writes before exec. */
#define READY   '+'
#define FAILED  '-'
#define REFUSED '!' /* what it was told to do cannot be done */

enum {
    FD_LISTENER = 3, /* after exec */
    FD_CONFIG = 4,
    FD_SOCK = 3, /* until then */
    FD_TOOLBOX = 4,
    FD_SYSFS = 5, /* and the views of its groups */
    FD_ASIDE = 16,
    NFDS = 2,
};

struct report {
    char kind; /* READY, FAILED or REFUSED */
    char text[255];
};

struct order {
    uint64_t shm_bytes;
    uint32_t nvolumes; /* so many struct volume_order follow */
};

/* One descriptor comes along. */
struct volume_order {
    char path[DT_BOX_PATH_SIZE];
};

struct volumes {
    struct volume_order orders[DT_BOX_VOLUMES_MAX];
    struct dt_rootfs_volume list[DT_BOX_VOLUMES_MAX];
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
        /* Not 0: a core_pattern that is a pipe ignores any other limit, and its program is the
         * host's, run as root. The filter keeps it. */
        {RLIMIT_CORE, 1, 1},
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

/* Only what this child needs: it may live long, and must keep nothing of others alive. */
static int keep_own(const struct dt_box_spec *s, int sock, struct dt_err *err)
{
    int from[3 + DT_CGROUP_VIEWS_MAX] = {sock, s->toolbox, s->sysfs};
    int n = 2;
    if (s->sysfs >= 0) {
        n = 3;
        for (unsigned i = 0; i < s->ncgroups; i++)
            from[n++] = s->cgroups[i].mount;
    }
    for (int i = 0; i < n; i++) {
        if ((from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, FD_ASIDE)) < 0)
            return dt_err_errno(err, "copy descriptors");
    }
    for (int i = 0; i < n; i++) {
        if (dup3(from[i], FD_SOCK + i, O_CLOEXEC) < 0)
            return dt_err_errno(err, "place descriptors");
    }
    if (syscall(SYS_close_range, FD_SOCK + n, ~0U, 0) < 0)
        return dt_err_errno(err, "close descriptors");
    return 0;
}

/* With the numbers of keep_own(). */
static void name_mounts(const struct dt_box_spec *s, struct dt_rootfs *root)
{
    *root = (struct dt_rootfs){.sysfs = -1};
    if (s->sysfs < 0)
        return;
    root->sysfs = FD_SYSFS;
    root->ncgroups = s->ncgroups;
    for (unsigned i = 0; i < s->ncgroups; i++)
        root->cgroups[i] = (struct dt_cgroup_view){FD_SYSFS + 1 + (int)i, s->cgroups[i].folder};
}

/* One message of exactly that size and that many descriptors. */
static int receive(void *p, size_t size, int *fds, unsigned nfds)
{
    unsigned n = nfds;
    return dt_fdpass_recv(FD_SOCK, p, size, fds, &n, 0) == (ssize_t)size && n == nfds ? 0 : -1;
}

/* `fds`: overlay, listener. */
static int await_order(struct order *o, int fds[NFDS], struct volumes *v)
{
    if (receive(o, sizeof(*o), fds, NFDS) < 0 || o->nvolumes > DT_BOX_VOLUMES_MAX)
        return -1;
    for (uint32_t i = 0; i < o->nvolumes; i++) {
        if (receive(&v->orders[i], sizeof(v->orders[i]), &v->list[i].mount, 1) < 0)
            return -1;
        v->list[i].path = v->orders[i].path;
    }
    return 0;
}

/* Everything that exec needs moves out of the way of the numbers it will have. */
static int place_descriptors(const int fds[NFDS], int *sock, int *toolbox, struct dt_err *err)
{
    int listener = fcntl(fds[1], F_DUPFD_CLOEXEC, FD_ASIDE);
    int say_to = fcntl(FD_SOCK, F_DUPFD_CLOEXEC, FD_ASIDE);
    int program = fcntl(FD_TOOLBOX, F_DUPFD_CLOEXEC, FD_ASIDE);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (listener < 0 || say_to < 0 || program < 0 || null < 0)
        return dt_err_errno(err, "copy descriptors");
    *sock = say_to;
    *toolbox = program;
    if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
        dup2(listener, FD_LISTENER) < 0 || dup2(say_to, FD_CONFIG) < 0 ||
        syscall(SYS_close_range, FD_CONFIG + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        return dt_err_errno(err, "place descriptors");
    return 0;
}

static int confine(const struct sock_fprog *filter, struct dt_err *err)
{
    if (dt_seccomp_install(filter) < 0)
        return dt_err_errno(err, "install the system call filter");
    if (dt_caps_keep(dt_caps_sandbox) < 0)
        return dt_err_errno(err, "drop capabilities");
    return 0;
}

static void say(int sock, char kind, const char *text)
{
    struct report r = {.kind = kind};
    (void)snprintf(r.text, sizeof(r.text), "%s", text);
    /* Without a reader the launcher is gone; nobody is left to tell. */
    ssize_t n = send(sock, &r, sizeof(r), MSG_NOSIGNAL);
    (void)n;
}

static void execute(int toolbox)
{
    char name[] = "daytona-toolbox";
    char *argv[] = {name, NULL};
    char *env[] = {NULL};
    (void)syscall(SYS_execveat, toolbox, "", argv, env, AT_EMPTY_PATH);
}

static _Noreturn void child(const struct dt_box_spec *s, int from)
{
    int sock = from;
    int toolbox = -1;
    int fds[NFDS];
    struct order order;
    struct volumes volumes;
    struct dt_err err = {.code = DT_OK};
    struct dt_rootfs root;
    name_mounts(s, &root);
    reset_signals();
    int rc = keep_own(s, from, &err);
    if (rc == 0) {
        sock = FD_SOCK;
        char mapped;
        if (recv(sock, &mapped, 1, 0) != 1)
            _exit(1);
        rc = become_root(&err) < 0 || set_limits(&err) < 0 || dt_rootfs_prepare(&root, &err) < 0;
    }
    if (rc == 0) {
        if (await_order(&order, fds, &volumes) < 0)
            _exit(1); /* the launcher has gone, or has no use for this one */
        /* Only now is it in all its groups, which become the roots of the namespace. */
        rc = unshare(CLONE_NEWCGROUP) < 0 ? dt_err_errno(&err, "new control group namespace")
                                          : dt_rootfs_enter(&root, fds[0], order.shm_bytes,
                                                            volumes.list, order.nvolumes, &err);
    }
    if (rc == 0 && place_descriptors(fds, &sock, &toolbox, &err) == 0 &&
        confine(s->filter, &err) == 0) {
        say(sock, READY, "");
        execute(toolbox);
        (void)dt_err_errno(&err, "execute the toolbox (it must be a static program)");
    }
    say(sock, err.code == DT_E_BAD_REQUEST ? REFUSED : FAILED, err.msg);
    _exit(1);
}

static pid_t clone_into(const struct dt_box_spec *s, int *pidfd, struct dt_err *err)
{
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                 CLONE_PIDFD | CLONE_INTO_CGROUP,
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
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return dt_err_errno(err, "socketpair");
    DT_AUTO_FD int ours = ends[0];
    DT_AUTO_FD int theirs = ends[1];
    int pidfd = -1;
    pid_t pid = clone_into(spec, &pidfd, err);
    if (pid < 0)
        return -1;
    if (pid == 0)
        child(spec, theirs);

    struct dt_box b = {.pid = pid, .pidfd = pidfd, .userns = -1, .sock = dt_take_fd(&ours)};
    if (dt_userns_map(pid, spec->base, err) < 0 || dt_userns_open(pid, &b.userns, err) < 0 ||
        (send(b.sock, "", 1, MSG_NOSIGNAL) != 1 && dt_err_errno(err, "wake the first process"))) {
        dt_box_abort(&b);
        return -1;
    }
    *box = b;
    return 0;
}

static bool send_with(const struct dt_box *box, const void *p, size_t n, const int *fds,
                      unsigned nfds)
{
    return dt_fdpass_send(box->sock, p, n, fds, nfds, MSG_DONTWAIT) == (ssize_t)n;
}

int dt_box_go(struct dt_box *box, const struct dt_box_order *order, struct dt_err *err)
{
    const struct order o = {.shm_bytes = order->shm_bytes, .nvolumes = order->nvolumes};
    const int fds[NFDS] = {order->overlay, order->listener};
    assert(order->nvolumes <= DT_BOX_VOLUMES_MAX);
    bool sent = send_with(box, &o, sizeof(o), fds, NFDS);
    for (unsigned i = 0; sent && i < order->nvolumes; i++) {
        const struct dt_rootfs_volume *v = &order->volumes[i];
        struct volume_order one = {.path = ""};
        (void)snprintf(one.path, sizeof(one.path), "%s", v->path);
        sent = send_with(box, &one, sizeof(one), &v->mount, 1);
    }
    if (sent)
        return 0;
    /* It may have said why it ended. */
    if ((errno != EPIPE && errno != ECONNRESET) || dt_box_result(box, err) == 0)
        return dt_err_errno(err, "wake the sandbox's first process");
    return -1;
}

/* For an end that shows while it is told more. */
static int why_it_ended(struct dt_box *box, struct dt_err *err)
{
    return dt_box_result(box, err) < 0
               ? -1
               : dt_err_set(err, DT_E_SYSTEM, "the sandbox's first process ended");
}

static int set_name(struct dt_box *box, int host_uts, const char *hostname, struct dt_err *err)
{
    if (setns(box->pidfd, CLONE_NEWUTS) < 0)
        return errno == ESRCH ? why_it_ended(box, err)
                              : dt_err_errno(err, "enter the sandbox's host name");
    int rc = sethostname(hostname, strlen(hostname));
    int saved = errno;
    int back = setns(host_uts, CLONE_NEWUTS);
    assert(back == 0); /* nothing else may happen with a sandbox's name */
    (void)back;
    errno = saved;
    return rc < 0 ? dt_err_errno(err, "set the host name") : 0;
}

int dt_box_own(struct dt_box *box, int host_uts, const char *hostname, int config,
               struct dt_err *err)
{
    if (set_name(box, host_uts, hostname, err) < 0)
        return -1;
    if (dt_fdpass_send(box->sock, "", 1, &config, 1, MSG_DONTWAIT) == 1)
        return 0;
    return errno == EPIPE || errno == ECONNRESET
               ? why_it_ended(box, err)
               : dt_err_errno(err, "configure the sandbox's first process");
}

int dt_box_result(struct dt_box *box, struct dt_err *err)
{
    for (;;) {
        struct report r;
        ssize_t n = recv(box->sock, &r, sizeof(r), MSG_DONTWAIT);
        /* Reset: it ended without having read all it was told. What it said comes next. */
        if (n < 0 && (errno == EINTR || errno == ECONNRESET))
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n == (ssize_t)sizeof(r) && r.kind == READY)
            return 1;
        if (n == (ssize_t)sizeof(r)) {
            r.text[sizeof(r.text) - 1] = '\0';
            return dt_err_set(err, r.kind == REFUSED ? DT_E_BAD_REQUEST : DT_E_SYSTEM, "%s",
                              r.text);
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
    dt_closep(&box->pidfd);
    dt_closep(&box->userns);
    dt_closep(&box->sock);
    box->pid = -1;
}
