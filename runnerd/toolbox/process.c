#include "toolbox/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { REAP_BATCH = 4096, FDS = 5 };

/* --- starting --- */

/* Where the child failed; written by the child in our memory, since vfork shares it. */
struct failure {
    const char *what;
    int number;
};

static _Noreturn void fail(volatile struct failure *f, const char *what)
{
    f->number = errno;
    f->what = what;
    _exit(127);
}

static int move_fd(int fd, int to)
{
    if (fd != to)
        return dup2(fd, to);
    return fcntl(fd, F_SETFD, 0);
}

static const char *path_of(const struct dt_process_opts *o)
{
    return o->program != NULL ? o->program : o->argv[0];
}

static struct rlimit files; /* what processes get; we take what we can have */

/* Runs in the child, in the parent's memory: no allocation, no locks, nothing that stays changed.
 */
static _Noreturn void child(const struct dt_process_opts *o, const int fds[FDS],
                            volatile struct failure *f)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    (void)sigaction(SIGPIPE, &dfl, NULL);
    (void)sigaction(SIGCHLD, &dfl, NULL); /* all others are at their default */
    (void)setsid();
    (void)umask(022);
    if (files.rlim_max > 0)
        (void)setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < FDS; i++) {
        if (fds[i] >= 0 && move_fd(fds[i], i) < 0)
            fail(f, "dup2");
    }
    if (o->terminal && ioctl(0, TIOCSCTTY, 0) < 0)
        fail(f, "controlling terminal");
    unsigned first = fds[4] >= 0 ? 5 : fds[3] >= 0 ? 4 : 3;
    if (syscall(SYS_close_range, first, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        fail(f, "close_range");
    if (chdir(o->cwd) < 0)
        fail(f, "cwd");
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execve(path_of(o), (char *const *)o->argv, o->env);
    fail(f, "exec");
}

static int report(const struct dt_process_opts *o, const struct failure *f, struct dt_err *err)
{
    errno = f->number;
    bool cwd = strcmp(f->what, "cwd") == 0;
    if (!cwd && strcmp(f->what, "exec") != 0)
        return dt_err_errno(err, "start %s: %s", path_of(o), f->what);
    enum dt_err_code code = f->number == ENOENT || f->number == ENOTDIR ? DT_E_FILE_NOT_FOUND
                            : f->number == EACCES                       ? DT_E_FILE_ACCESS_DENIED
                                                                        : DT_E_SYSTEM;
    (void)(cwd ? dt_err_set(err, code, "working directory '%s': %s", o->cwd, strerror(f->number))
               : dt_err_set(err, code, "%s: %s", path_of(o), strerror(f->number)));
    err->sys_errno = f->number;
    return -1;
}

static void set_oom(int fd, const char *value)
{
    if (fd >= 0 && pwrite(fd, value, strlen(value), 0) < 0)
        return; /* the child keeps our own score: not worth failing for */
}

/* Descriptors that stand where others will be moved to are copied upwards first. */
static int lift(int fd, int *own)
{
    *own = fd >= 0 && fd < FDS ? fcntl(fd, F_DUPFD_CLOEXEC, 2 * FDS) : -1;
    return *own >= 0 ? *own : fd;
}

static pid_t __attribute__((noinline))
start(const struct dt_process_opts *o, const int fds[FDS], volatile struct failure *f)
{
    pid_t pid = vfork(); /* NOLINT: a fork would copy our page tables for every command */
    if (pid == 0)
        child(o, fds, f); /* NOLINT(clang-analyzer-unix.Vfork): it is careful */
    return pid;
}

int dt_process_spawn(const struct dt_process_opts *o, pid_t *ret, struct dt_err *err)
{
    DT_AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 && (o->in < 0 || o->out < 0 || o->errors < 0))
        return dt_err_errno(err, "/dev/null");
    int lifted[FDS];
    const int fds[FDS] = {
        lift(o->in < 0 ? null : o->in, &lifted[0]),
        lift(o->out < 0 ? null : o->out, &lifted[1]),
        lift(o->errors < 0 ? null : o->errors, &lifted[2]),
        lift(o->extra[0], &lifted[3]),
        lift(o->extra[1], &lifted[4]),
    };
    volatile struct failure f = {NULL, 0};
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    set_oom(o->oom_fd, "500"); /* inherited, and may be lowered again without privilege */
    pid_t pid = start(o, fds, &f);
    int number = errno;
    set_oom(o->oom_fd, "0");
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    for (int i = 0; i < FDS; i++)
        dt_closep(&lifted[i]);
    if (pid < 0) {
        errno = number;
        return dt_err_errno(err, "start a process");
    }
    if (f.what != NULL) {
        (void)waitpid(pid, NULL, 0);
        struct failure plain = {f.what, f.number};
        return report(o, &plain, err);
    }
    *ret = pid;
    return 0;
}

/* --- ending --- */

static uv_signal_t child_signal;
static uv_idle_t more_to_reap;
static struct dt_process_watch *watches;

static void ended(pid_t pid, int status)
{
    for (struct dt_process_watch **at = &watches; *at != NULL; at = &(*at)->next) {
        struct dt_process_watch *w = *at;
        if (w->pid != pid)
            continue;
        *at = w->next;
        w->pid = 0;
        w->on_exit(w->ctx, status);
        return;
    }
}

/* A flood of zombies must not keep the loop from its other work. */
static bool reap(void)
{
    for (int i = 0; i < REAP_BATCH; i++) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            return false;
        ended(pid, status);
    }
    return true;
}

static void on_idle(uv_idle_t *idle)
{
    if (!reap())
        (void)uv_idle_stop(idle);
}

static void on_child(uv_signal_t *s, int signum)
{
    (void)s;
    (void)signum;
    if (reap())
        (void)uv_idle_start(&more_to_reap, on_idle);
}

/* Hundreds of sessions take more descriptors than the limit that programs are used to. */
static void raise_files(void)
{
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        files.rlim_max = 0;
    struct rlimit all = {files.rlim_max, files.rlim_max};
    if (files.rlim_max > 0)
        (void)setrlimit(RLIMIT_NOFILE, &all);
}

int dt_process_init(uv_loop_t *loop, struct dt_err *err)
{
    raise_files();
    (void)uv_idle_init(loop, &more_to_reap);
    int r = uv_signal_init(loop, &child_signal);
    if (r == 0)
        r = uv_signal_start(&child_signal, on_child, SIGCHLD);
    if (r < 0)
        return dt_err_set(err, DT_E_SYSTEM, "SIGCHLD: %s", uv_strerror(r));
    uv_unref((uv_handle_t *)&child_signal);
    uv_unref((uv_handle_t *)&more_to_reap);
    return 0;
}

void dt_process_watch(struct dt_process_watch *w, pid_t pid, void (*on_exit)(void *ctx, int status),
                      void *ctx)
{
    *w = (struct dt_process_watch){watches, pid, on_exit, ctx};
    watches = w;
}

void dt_process_forget(struct dt_process_watch *w)
{
    for (struct dt_process_watch **at = &watches; *at != NULL; at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            return;
        }
    }
}

void dt_process_signal_all(int sig)
{
    for (const struct dt_process_watch *w = watches; w != NULL; w = w->next)
        (void)kill(-w->pid, sig);
}
