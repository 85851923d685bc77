/*
 * daytona-launcher: the only privileged program. One thread, one loop; requests of wire.h from
 * daytona-runnerd, and nothing that a user wrote is parsed.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mount_api.h"
#include "base/notify.h"
#include "os/caps.h"
#include "os/memfd.h"
#include "os/overlay.h"
#include "os/overlay_check.h"
#include "os/seccomp.h"
#include "os/userns.h"
#include "runnerd/launcher/adopt.h"
#include "runnerd/launcher/instance.h"
#include "runnerd/launcher/launcher.h"
#include "runnerd/launcher/options.h"

enum { TERMINALS = 262144 }; /* for all sandboxes: 256 each of a thousand */
enum { FD_WORKER = 3, DRAIN_MS = 5000 };

static int folder(int data, const char *name, mode_t mode, int *ret, struct dt_err *err)
{
    if (mkdirat(data, name, mode) < 0 && errno != EEXIST)
        return dt_err_errno(err, "make %s", name);
    *ret = dt_fd_openat2(data, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, 0);
    struct stat st;
    if (*ret < 0 || fstat(*ret, &st) < 0)
        return dt_err_errno(err, "open %s", name);
    /* Root acts in it; nobody else may put things there. */
    if (st.st_uid != 0 || (st.st_mode & 022) != 0)
        return dt_err_set(err, DT_E_FORBIDDEN,
                          "%s must belong to root and be writable by root alone", name);
    return 0;
}

static int open_folders(struct dt_launcher *l, const char *data_dir, struct dt_err *err)
{
    l->data = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->data < 0)
        return dt_err_errno(err, "open %s", data_dir);
    int objects = -1;
    if (folder(l->data, "objects", 0700, &objects, err) < 0)
        return dt_err_wrap(err, "%s", data_dir);
    (void)close(objects);
    if (folder(l->data, "sandboxes", 0711, &l->sandboxes, err) < 0 ||
        folder(l->data, dt_place_folders[0], 0700, &l->objects[0], err) < 0 ||
        folder(l->data, dt_place_folders[1], 0700, &l->objects[1], err) < 0 ||
        folder(l->data, "layers", 0755, &l->layers, err) < 0 ||
        folder(l->data, "volumes", 0700, &l->volumes, err) < 0 ||
        folder(l->data, "trash", 0700, &l->trash, err) < 0 ||
        folder(l->data, "pool", 0700, &l->pool_dir, err) < 0)
        return dt_err_wrap(err, "%s", data_dir);
    return 0;
}

static int read_toolbox(struct dt_launcher *l, const char *path, struct dt_err *err)
{
    char beside[4096];
    if (path == NULL) {
        ssize_t n = readlink("/proc/self/exe", beside, sizeof(beside) - sizeof("daytona-toolbox"));
        if (n <= 0)
            return dt_err_errno(err, "find daytona-toolbox");
        beside[n] = '\0';
        char *slash = strrchr(beside, '/');
        size_t at = slash == NULL ? 0 : (size_t)(slash - beside) + 1;
        (void)snprintf(beside + at, sizeof(beside) - at, "daytona-toolbox");
        path = beside;
    }
    return dt_memfd_from_file("daytona-toolbox", AT_FDCWD, path, &l->toolbox, err);
}

/* A mount namespace of its own: nothing that happens here shows on the host. */
static int own_mounts(bool by_path, struct dt_err *err)
{
    static const char point[] = "/run/daytona/mounts";
    if (mkdir(point, 0700) < 0 && errno != EEXIST)
        return dt_err_errno(err, "make %s", point);

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return dt_err_errno(err, "new mount namespace");
    DT_AUTO_FD int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return dt_err_errno(err, "tmpfs");
    int dir = fsmount(fs, FSMOUNT_CLOEXEC, 0);
    if (dir < 0 || move_mount(dir, "", AT_FDCWD, point, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return dt_err_errno(err, "mount on %s", point);
    dt_overlay_by_path(dir, by_path);
    return 0;
}

/* A pipe is kept from sandboxes by their core limit, a socket (`@path`, Linux 6.16) is not. */
static void look_at_core_pattern(void)
{
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf pattern;
    dt_buf_init(&pattern, 4096);
    if (dt_fd_read_file(AT_FDCWD, "/proc/sys/kernel/core_pattern", &pattern, &err) == 0 &&
        pattern.n > 0 && pattern.p[0] == '@')
        dt_log(DT_LOG_WARN,
               "the kernel's core_pattern is a socket: it gets what crashes in sandboxes; use a "
               "file or a pipe",
               NULL);
}

/* Terminals are counted for the whole host: without room for all, a few sandboxes that take their
 * share would leave none to the others. What is never opened costs nothing. */
static void make_room_for_terminals(void)
{
    static const char path[] = "/proc/sys/kernel/pty/max";
    struct dt_err err;
    char wanted[16];
    unsigned long long most;
    DT_AUTO_BUF struct dt_buf now;
    dt_buf_init(&now, 64);
    (void)snprintf(wanted, sizeof(wanted), "%d", TERMINALS);
    if (dt_fd_read_file(AT_FDCWD, path, &now, &err) < 0)
        return; /* a kernel without them */
    struct dt_str rest = dt_buf_str(&now), line;
    bool enough = dt_str_cut(&rest, '\n', &line) && dt_str_u64(line, INT32_MAX, &most) == 0 &&
                  most >= TERMINALS;
    if (!enough && dt_fd_put(AT_FDCWD, path, wanted, &err) < 0)
        dt_log(DT_LOG_WARN,
               "kernel.pty.max cannot be raised: some sandboxes can use up the terminals of all",
               "err", err.msg, NULL);
}

static int open_kernel(struct dt_launcher *l, const struct dt_launcher_options *o,
                       struct dt_err *err)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "%u", l->instance);
    look_at_core_pattern();
    make_room_for_terminals();
    l->host_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    l->host_uts = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
    if (l->host_netns < 0 || l->host_uts < 0)
        return dt_err_errno(err, "open the launcher's own namespaces");
    if (dt_cgroup_root_open(name, o->cgroup, &l->cgroups, err) < 0 ||
        dt_disk_store_open(l->data, &l->disks, err) < 0 || dt_seccomp_build(0, &l->filter, err) < 0)
        return -1;
    dt_network_open(l, (uint64_t)o->bandwidth * 1000000 / 8);
    return 0;
}

static void on_job(void *ctx, const struct dt_job_done *done, int fds[DT_JOB_FDS])
{
    struct dt_launcher *l = ctx;
    if (done->job.op == DT_JOB_DISK_FREE) {
        dt_sandbox_on_free(l, done);
    } else if (done->job.op == DT_JOB_SPARE) {
        dt_spare_on_job(l, done);
    } else if (done->job.op == DT_JOB_SWEEP) {
        l->sweeping = false;
        if (l->sweep_again)
            dt_sweep(l);
    } else if (done->job.op == DT_JOB_VOLUME_NEW) {
        dt_volume_on_made(l, done);
    } else if (done->job.op == DT_JOB_VOLUME_OPEN) {
        if (!dt_sandbox_on_volume(l, done, fds[0]) && fds[0] >= 0)
            dt_worker_close(&l->sweeper, fds[0]); /* destroyed meanwhile */
    } else if (done->job.tag == DT_JOB_FOR_POOL) {
        dt_pool_on_disk(l, done, fds);
    } else if (!dt_sandbox_on_disk(l, done, fds) && done->code == DT_OK) {
        struct dt_pool_disk d = {done->job.serial, done->job.bytes, fds[0], fds[1]};
        if (done->job.op == DT_JOB_DISK_NEW)
            dt_pool_disk_drop(l, &d);
        else /* destroyed meanwhile */
            dt_pool_disk_unmount(l, &d);
    }
}

static void restart(struct dt_launcher *l, struct dt_worker *w)
{
    struct dt_err err;
    dt_log(DT_LOG_ERROR, "a helper ended", NULL);
    if (dt_worker_start(w, &err) < 0) {
        dt_log(DT_LOG_ERROR, "cannot start a helper, the launcher ends", "err", err.msg, NULL);
        l->stop = true;
    }
}

static void maker_died(void *ctx)
{
    struct dt_launcher *l = ctx;
    l->pool.disks_asked = 0;
    dt_sandbox_lost_jobs(l, &l->maker);
    restart(l, &l->maker);
}

static void reaper_died(void *ctx)
{
    struct dt_launcher *l = ctx;
    dt_sandbox_lost_jobs(l, &l->reaper);
    restart(l, &l->reaper);
}

static void keeper_died(void *ctx)
{
    struct dt_launcher *l = ctx;
    dt_sandbox_lost_jobs(l, &l->keeper);
    dt_volume_lost_jobs(l);
    restart(l, &l->keeper);
}

static void sweeper_died(void *ctx)
{
    struct dt_launcher *l = ctx;
    l->sweeping = false;
    dt_spare_lost_job(l);
    restart(l, &l->sweeper);
}

static int start_workers(struct dt_launcher *l, const char *data_dir, const struct dt_instance *in,
                         struct dt_err *err)
{
    l->common = (struct dt_worker){.loop = &l->loop,
                                   .data_dir = data_dir,
                                   .keep = {in->data_lock, in->host_lock},
                                   .done = on_job,
                                   .ctx = l};
    l->maker = l->reaper = l->sweeper = l->keeper = l->common;
    l->maker.died = maker_died;
    l->reaper.died = reaper_died;
    l->sweeper.died = sweeper_died;
    l->keeper.died = keeper_died;
    l->sweeper.nice = 10;
    if (dt_worker_start(&l->maker, err) < 0 || dt_worker_start(&l->reaper, err) < 0 ||
        dt_worker_start(&l->sweeper, err) < 0 || dt_worker_start(&l->keeper, err) < 0)
        return -1;
    dt_sweep(l);
    dt_spare_disk_free(l);
    return 0;
}

static void on_signal(void *ctx, uint32_t events)
{
    (void)events;
    struct dt_launcher *l = ctx;
    l->stop = true;
}

static int watch_signals(struct dt_launcher *l, struct dt_watch *w, struct dt_err *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    *w = (struct dt_watch){.fn = on_signal, .ctx = l, .fd = signalfd(-1, &set, SFD_CLOEXEC)};
    if (w->fd < 0)
        return dt_err_errno(err, "signalfd");
    return dt_loop_watch(&l->loop, w, EPOLLIN, err);
}

static void raise_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int prepare(struct dt_launcher *l, const struct dt_launcher_options *o,
                   struct dt_instance *in, struct dt_watch *signals, struct dt_err *err)
{
    const struct dt_instance_opts who = {o->data_dir, o->cgroup};
    raise_limits();
    (void)umask(022);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    l->uid = o->uid;
    l->gid = o->gid;
    if (dt_loop_init(&l->loop, err) < 0 || watch_signals(l, signals, err) < 0)
        return -1;
    DT_AUTO_FD int data = open(o->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (data < 0)
        return dt_err_errno(err, "open %s", o->data_dir);
    /* Our own path can only be read before we leave the mount namespace that it is in. */
    if (read_toolbox(l, o->toolbox, err) < 0 || dt_instance_take(data, &who, in, err) < 0 ||
        own_mounts(o->by_path, err) < 0)
        return -1;
    l->instance = in->number;
    if (open_folders(l, o->data_dir, err) < 0 || open_kernel(l, o, err) < 0 ||
        dt_caps_reduce_launcher(err) < 0 || dt_userns_init(err) < 0 ||
        dt_overlay_check(l->pool_dir, dt_slot_base(l->instance, 1), err) < 0)
        return -1;
    dt_pool_init(&l->pool);
    if (dt_adopt(l, err) < 0 || dt_network_watch(l, err) < 0 ||
        start_workers(l, o->data_dir, in, err) < 0)
        return -1;
    l->peer.ends_all = o->fd >= 0 || o->once;
    return o->fd >= 0 ? dt_peer_connected(l, o->fd, err) : dt_peer_listen(l, o->socket, err);
}

/* Without sandboxes that go on living, nothing of this instance stays on the host. */
static void leave_nothing(struct dt_launcher *l, const struct dt_instance *in)
{
    struct dt_err err = {.code = DT_OK};
    l->net = dt_sandbox_net_close(l->net);
    if (dt_cgroup_root_remove(l->cgroups, &err) < 0 ||
        dt_sandbox_net_purge(l->instance, 0, &err) < 0)
        dt_log(DT_LOG_WARN, "something stays on the host", "err", err.msg, NULL);
    else
        dt_instance_release(in);
}

static void on_late(void *ctx)
{
    *(bool *)ctx = true;
}

/* What is ending already should end completely. */
static void drain(struct dt_launcher *l)
{
    bool late = false;
    struct dt_timer t = {.fn = on_late, .ctx = &late};
    dt_loop_timer(&l->loop, &t, DRAIN_MS);
    while (!late && dt_sandbox_any_ending(l))
        (void)dt_loop_once(&l->loop, false);
    dt_loop_untimer(&l->loop, &t);
}

static void finish(struct dt_launcher *l, const struct dt_instance *in)
{
    dt_peer_done(l);
    dt_errand_done(l);
    dt_sandbox_cool(l, NULL);
    drain(l);
    dt_network_unwatch(l);
    dt_spare_done(l);
    bool last = l->nsandboxes == 0;
    dt_sandbox_forget_all(l);
    dt_pool_done(l);
    dt_worker_stop(&l->maker);
    dt_worker_stop(&l->reaper);
    dt_worker_stop(&l->sweeper);
    dt_worker_stop(&l->keeper);
    dt_volume_lost_jobs(l);
    if (last)
        leave_nothing(l, in);
    dt_seccomp_free(&l->filter);
    l->net = dt_sandbox_net_close(l->net);
    l->cgroups = dt_cgroup_root_free(l->cgroups);
    l->disks = dt_disk_store_free(l->disks);
    dt_loop_done(&l->loop);
}

static int run(const struct dt_launcher_options *o, struct dt_err *err)
{
    static struct dt_launcher l; /* large: kept off the stack */
    struct dt_instance in;
    struct dt_watch signals;
    l.peer.conn.fd = l.peer.listener.fd = -1;
    if (prepare(&l, o, &in, &signals, err) < 0)
        return -1;
    dt_log(DT_LOG_INFO, "ready", NULL);
    dt_notify_ready();
    while (!l.stop) {
        /* The pools are filled when nothing else is to be done. */
        if (!dt_loop_once(&l.loop, true) && !dt_pool_fill(&l))
            (void)dt_loop_once(&l.loop, false);
    }
    finish(&l, &in);
    return 0;
}

static int purge(const struct dt_launcher_options *o, struct dt_err *err)
{
    static struct dt_launcher l;
    const struct dt_instance_opts who = {o->data_dir, o->cgroup};
    struct dt_instance in;
    DT_AUTO_FD int data = open(o->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (data < 0)
        return dt_err_errno(err, "open %s", o->data_dir);
    if (dt_instance_take(data, &who, &in, err) < 0)
        return -1;
    l.instance = in.number;
    if (open_folders(&l, o->data_dir, err) < 0 || open_kernel(&l, o, err) < 0 ||
        dt_end_all(&l, err) < 0)
        return -1;
    leave_nothing(&l, &in);
    return 0;
}

/* systemd forgets the group of a service without processes, so this is one. */
static int hold(struct dt_err *err)
{
    sigset_t set;
    int sig = 0;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    if (dt_cgroup_hold(err) < 0)
        return -1;
    dt_notify_ready();
    return sigwait(&set, &sig) == 0 ? 0 : dt_err_errno(err, "wait for the end");
}

int main(int argc, char **argv)
{
    struct dt_launcher_options o;
    struct dt_err err = {.code = DT_OK};
    dt_log_init("daytona-launcher", DT_LOG_INFO);
    if (dt_launcher_options_read(argc, argv, &o, &err) < 0) {
        (void)fprintf(stderr, "daytona-launcher: %s\n%s", err.msg, dt_launcher_usage);
        return 2;
    }
    int rc = o.hold     ? hold(&err)
             : o.worker ? dt_worker_run(FD_WORKER, o.data_dir, &err)
             : o.purge  ? purge(&o, &err)
                        : run(&o, &err);
    if (rc < 0)
        dt_log(DT_LOG_ERROR, "the launcher ends", "err", err.msg, NULL);
    return rc < 0 ? 1 : 0;
}
