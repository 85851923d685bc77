#include "runnerd/launcher/pool.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mount_api.h"
#include "base/pidfd.h"
#include "base/rand.h"
#include "os/userns.h"
#include "runnerd/launcher/launcher.h"

enum {
    FIRST_BASE = 16,
    RETRY_MS = 1000,
    DISKS_AT_ONCE = 2,
    KITS_AT_ONCE = 8,
    KITS_LOW = 4,
    QUIET_MS = 8
};

#define DEFAULT_DISK (3ULL << 30)
/* The kernel should rather end a sandbox than what runs on the host. */
#define OOM_SCORE "200"

struct dt_pooled_kit {
    struct dt_pooled_kit *next;
    struct dt_launcher *l;
    struct dt_kit kit;
    pid_t helper; /* 0: ready */
    struct dt_watch on_helper;
};

static void on_wake(void *ctx)
{
    (void)ctx; /* the main loop fills the pool when it is idle */
}

void dt_pool_init(struct dt_pool *p)
{
    *p = (struct dt_pool){.disk_bytes = DEFAULT_DISK, .wake = {.fn = on_wake}};
    dt_rand_bytes(&p->serial, sizeof(p->serial));
}

bool dt_pool_same_kind(const struct dt_lw_spec *a, const struct dt_lw_spec *b)
{
    return a->nvolumes == 0 && b->nvolumes == 0 && a->memory_bytes == b->memory_bytes &&
           a->disk_bytes == b->disk_bytes && a->cpu_millis == b->cpu_millis && a->pids == b->pids &&
           a->nlayers == b->nlayers &&
           memcmp(a->layers, b->layers, a->nlayers * sizeof(a->layers[0])) == 0;
}

void dt_pool_note(struct dt_pool *p, const struct dt_lw_spec *spec)
{
    if (spec->nvolumes > 0)
        return; /* these cannot be started ahead */
    if (dt_pool_same_kind(&p->last_kind, spec))
        p->kind = *spec;
    p->last_kind = *spec;
}

void dt_pool_busy(struct dt_launcher *l)
{
    l->pool.request_ms = dt_clock_ms();
}

uint64_t dt_pool_serial(struct dt_pool *p)
{
    return ++p->serial;
}

uint32_t dt_slot_base(unsigned instance, unsigned slot)
{
    return (FIRST_BASE + instance * DT_SLOTS + slot - 1) * (uint32_t)DT_USERNS_IDS;
}

bool dt_pool_claim_slot(struct dt_pool *p, unsigned slot)
{
    if (slot == 0 || slot > DT_SLOTS || p->used[slot])
        return false;
    p->used[slot] = true;
    return true;
}

/* In turn, so that what the kernel still has of a slot's last user has time to go. */
static unsigned next_slot(struct dt_pool *p)
{
    for (unsigned i = 0; i < DT_SLOTS; i++) {
        p->last_slot = p->last_slot % DT_SLOTS + 1;
        if (dt_pool_claim_slot(p, p->last_slot))
            return p->last_slot;
    }
    return 0;
}

static void fill_failed(struct dt_pool *p, const char *what, const char *msg)
{
    dt_log(DT_LOG_WARN, "cannot prepare for the next sandbox", "what", what, "err", msg, NULL);
    p->again_ms = dt_clock_ms() + RETRY_MS;
}

/* A sysfs shows the network namespace of who mounts it. A host that cannot is no reason to fail. */
static int sysfs_new(void)
{
    DT_AUTO_FD int fs = fsopen("sysfs", FSOPEN_CLOEXEC);
    if (fs < 0 || fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -1;
    return fsmount(fs, FSMOUNT_CLOEXEC,
                   MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

struct net_ends {
    int netns, sysfs;
};

static int network_new(struct dt_launcher *l, unsigned slot, struct net_ends *n, struct dt_err *err)
{
    if (l->net == NULL) {
        if (dt_sandbox_net_make_alone(&n->netns, err) < 0)
            return -1;
    } else if (dt_sandbox_net_make(l->net, slot, &n->netns, err) < 0 ||
               dt_sandbox_net_policy(l->net, slot, DT_SANDBOX_NET_FULL, NULL, 0, err) < 0) {
        return -1;
    }
    if (setns(n->netns, CLONE_NEWNET) < 0)
        return dt_err_errno(err, "enter the sandbox's network");
    n->sysfs = sysfs_new();
    if (setns(l->host_netns, CLONE_NEWNET) < 0)
        abort(); /* a launcher in a sandbox's network must not go on */
    return 0;
}

static int process_new(struct dt_launcher *l, struct dt_kit *k, struct dt_err *err)
{
    struct net_ends n = {-1, -1};
    int rc = network_new(l, k->slot, &n, err);
    DT_AUTO_FD int netns = n.netns;
    DT_AUTO_FD int sysfs = n.sysfs;
    if (rc < 0 || dt_cgroup_make(l->cgroups, k->cgroup, err) < 0)
        return -1;
    DT_AUTO_FD int group = dt_cgroup_dir(l->cgroups, k->cgroup, err);
    if (group < 0)
        return -1;
    struct dt_box_spec box = {
        .base = dt_slot_base(l->instance, k->slot),
        .host_netns = l->host_netns,
        .netns = netns,
        .cgroup = group,
        .sysfs = sysfs,
        .toolbox = l->toolbox,
        .filter = &l->filter,
    };
    char path[64];
    if (dt_cgroup_views(l->cgroups, k->cgroup, box.cgroups, &box.ncgroups, err) < 0)
        return -1;
    rc = dt_box_clone(&box, &k->box, err);
    dt_cgroup_views_close(box.cgroups, box.ncgroups);
    if (rc < 0)
        return -1;
    (void)snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)k->box.pid);
    return dt_fd_put(AT_FDCWD, path, OOM_SCORE, err);
}

static void kit_drop(struct dt_launcher *l, struct dt_kit *k)
{
    dt_box_abort(&k->box);
    if (!dt_pool_release(l, k->slot, k->cgroup))
        dt_log(DT_LOG_WARN, "a control group stays", "cgroup", k->cgroup, NULL);
}

static int kit_new(struct dt_launcher *l, struct dt_kit *ret, struct dt_err *err)
{
    struct dt_kit k = {.alone = l->net == NULL, .box = DT_BOX_NONE};
    k.slot = next_slot(&l->pool);
    if (k.slot == 0)
        return dt_err_set(err, DT_E_LIMIT, "all %d sandboxes of this runner exist; destroy some",
                          DT_SLOTS);
    (void)snprintf(k.cgroup, sizeof(k.cgroup), "s%u-%016llx", k.slot,
                   (unsigned long long)dt_pool_serial(&l->pool));
    if (process_new(l, &k, err) < 0) {
        kit_drop(l, &k);
        return -1;
    }
    *ret = k;
    return 0;
}

static int attach(struct dt_launcher *l, const struct dt_kit *k, struct dt_err *err)
{
    return dt_cgroup_needs_attach(l->cgroups)
               ? dt_cgroup_attach_v1(l->cgroups, k->cgroup, k->box.pid, err)
               : 0;
}

static void unlink_kit(struct dt_pool *p, struct dt_pooled_kit *pk)
{
    struct dt_pooled_kit **at = &p->kits;
    while (*at != pk)
        at = &(*at)->next;
    *at = pk->next;
    p->nkits--;
    if (pk->helper != 0)
        p->nmaking--;
}

bool dt_pool_kit(struct dt_launcher *l, struct dt_kit *ret)
{
    struct dt_pooled_kit *pk = l->pool.kits;
    while (pk != NULL && pk->helper != 0)
        pk = pk->next;
    if (pk == NULL)
        return false;
    unlink_kit(&l->pool, pk);
    *ret = pk->kit;
    free(pk);
    return true;
}

static void pooled_drop(struct dt_launcher *l, struct dt_pooled_kit *pk)
{
    unlink_kit(&l->pool, pk);
    kit_drop(l, &pk->kit);
    free(pk);
}

/* Made without the network that there is now. */
static bool is_late(const struct dt_launcher *l, const struct dt_pooled_kit *pk)
{
    return pk->kit.alone && l->net != NULL;
}

void dt_pool_renew(struct dt_launcher *l)
{
    for (struct dt_pooled_kit *pk = l->pool.kits, *next; pk != NULL; pk = next) {
        next = pk->next;
        if (pk->helper == 0 && is_late(l, pk))
            pooled_drop(l, pk);
    }
}

static void helper_done(struct dt_pooled_kit *pk)
{
    dt_loop_unwatch(&pk->l->loop, &pk->on_helper);
    dt_closep(&pk->on_helper.fd);
    pk->helper = 0;
    pk->l->pool.nmaking--;
}

static void on_helper(void *ctx, uint32_t events)
{
    (void)events;
    struct dt_pooled_kit *pk = ctx;
    struct dt_launcher *l = pk->l;
    int status = -1;
    if (waitpid(pk->helper, &status, WNOHANG) == 0)
        return;
    helper_done(pk);
    bool late = is_late(l, pk);
    if (status == 0 && !late) {
        dt_sandbox_on_kit(l, NULL);
        return;
    }
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_SYSTEM, "a process could not be moved into its control groups");
    pooled_drop(l, pk);
    if (status == 0)
        return;
    fill_failed(&l->pool, "control groups", err.msg);
    dt_sandbox_on_kit(l, &err);
}

/* Moving a process between v1 groups waits for the kernel's RCU, 10 ms or more: not in this loop.
 */
static int start_helper(struct dt_pooled_kit *pk, struct dt_err *err)
{
    struct dt_launcher *l = pk->l;
    if (!dt_cgroup_needs_attach(l->cgroups))
        return 0;
    pid_t pid = fork();
    if (pid < 0)
        return dt_err_errno(err, "fork");
    if (pid == 0)
        _exit(attach(l, &pk->kit, err) < 0 ? 1 : 0);
    pk->helper = pid;
    l->pool.nmaking++;
    pk->on_helper = (struct dt_watch){.fn = on_helper, .ctx = pk, .fd = pidfd_open(pid, 0)};
    if (pk->on_helper.fd < 0 || dt_loop_watch(&l->loop, &pk->on_helper, EPOLLIN, err) < 0) {
        (void)waitpid(pid, NULL, 0);
        helper_done(pk);
        return dt_err_errno(err, "watch a helper");
    }
    return 0;
}

static int add_kit(struct dt_launcher *l, struct dt_err *err)
{
    struct dt_pooled_kit *pk = calloc(1, sizeof(*pk));
    if (pk == NULL)
        return dt_err_set(err, DT_E_NOMEM, "kit");
    pk->l = l;
    if (kit_new(l, &pk->kit, err) < 0) {
        free(pk);
        return -1;
    }
    if (start_helper(pk, err) < 0) {
        kit_drop(l, &pk->kit);
        free(pk);
        return -1;
    }
    pk->next = l->pool.kits;
    l->pool.kits = pk;
    l->pool.nkits++;
    if (pk->helper == 0)
        dt_sandbox_on_kit(l, NULL);
    return 0;
}

bool dt_pool_release(struct dt_launcher *l, unsigned slot, const char *cgroup)
{
    struct dt_err err = {.code = DT_OK};
    if (dt_cgroup_remove(l->cgroups, cgroup, &err) < 0 && err.code != DT_E_NOT_FOUND) {
        if (err.code != DT_E_CONFLICT)
            dt_log(DT_LOG_WARN, "cannot remove a control group", "cgroup", cgroup, "err", err.msg,
                   NULL);
        return false;
    }
    if (l->net != NULL && dt_sandbox_net_drop(l->net, slot, &err) < 0)
        dt_log(DT_LOG_WARN, "cannot forget a network", "err", err.msg, NULL);
    l->pool.used[slot] = false;
    return true;
}

bool dt_pool_disk(struct dt_launcher *l, uint64_t bytes, struct dt_pool_disk *ret)
{
    struct dt_pool *p = &l->pool;
    if (p->last_bytes == bytes)
        p->disk_bytes = bytes;
    p->last_bytes = bytes;
    for (unsigned i = 0; i < p->ndisks; i++) {
        if (p->disks[i].bytes == bytes) {
            *ret = p->disks[i];
            p->disks[i] = p->disks[--p->ndisks];
            return true;
        }
    }
    return false;
}

void dt_pool_disk_close(struct dt_pool_disk *d)
{
    dt_closep(&d->mount);
    dt_closep(&d->listener);
}

void dt_pool_disk_unmount(struct dt_launcher *l, struct dt_pool_disk *d)
{
    if (d->mount >= 0)
        dt_worker_close(&l->sweeper, dt_take_fd(&d->mount));
    dt_pool_disk_close(d);
}

void dt_pool_disk_drop(struct dt_launcher *l, struct dt_pool_disk *d)
{
    char name[32];
    struct dt_err err;
    dt_pool_disk_unmount(l, d);
    (void)snprintf(name, sizeof(name), "%016llx", (unsigned long long)d->serial);
    if (dt_trash(l, l->pool_dir, name, &err) < 0)
        dt_log(DT_LOG_WARN, "cannot throw a disk away", "err", err.msg, NULL);
}

void dt_pool_on_disk(struct dt_launcher *l, const struct dt_job_done *done, const int fds[2])
{
    struct dt_pool *p = &l->pool;
    p->disks_asked--;
    if (done->code != DT_OK) {
        fill_failed(p, "disk", done->text);
        return;
    }
    struct dt_pool_disk d = {done->job.serial, done->job.bytes, fds[0], fds[1]};
    if (p->ndisks < DT_POOL_DISKS)
        p->disks[p->ndisks++] = d;
    else
        dt_pool_disk_drop(l, &d);
}

/* Makes room when another size is asked for now. */
static bool drop_other_size(struct dt_launcher *l)
{
    struct dt_pool *p = &l->pool;
    for (unsigned i = 0; i < p->ndisks; i++) {
        if (p->disks[i].bytes != p->disk_bytes) {
            struct dt_pool_disk d = p->disks[i];
            p->disks[i] = p->disks[--p->ndisks];
            dt_pool_disk_drop(l, &d);
            return true;
        }
    }
    return false;
}

static bool ask_for_disk(struct dt_launcher *l)
{
    struct dt_pool *p = &l->pool;
    if (p->disks_asked >= DISKS_AT_ONCE || p->ndisks + p->disks_asked >= DT_POOL_DISKS)
        return false;
    struct dt_job job = {.op = DT_JOB_DISK_NEW,
                         .uid = l->uid,
                         .gid = l->gid,
                         .serial = dt_pool_serial(p),
                         .bytes = p->disk_bytes};
    struct dt_err err;
    if (dt_worker_send(&l->maker, &job, &err) < 0) {
        fill_failed(p, "disk", err.msg);
        return false;
    }
    p->disks_asked++;
    return true;
}

static bool warm_up(struct dt_launcher *l)
{
    struct dt_pool *p = &l->pool;
    if (p->kind.memory_bytes == 0)
        return false; /* none was asked for twice yet */
    if (dt_sandbox_cool(l, &p->kind))
        return true;
    return l->nwarm < DT_POOL_WARM && p->nkits - p->nmaking > KITS_LOW &&
           dt_sandbox_warm_up(l, &p->kind);
}

bool dt_pool_fill(struct dt_launcher *l)
{
    struct dt_pool *p = &l->pool;
    if (dt_clock_ms() < p->again_ms)
        return false;
    bool urgent = p->nkits < KITS_LOW || l->first_waiting != NULL;
    uint64_t quiet = dt_clock_ms() - p->request_ms;
    if (!urgent && quiet < QUIET_MS) {
        dt_loop_timer(&l->loop, &p->wake, QUIET_MS - quiet);
        return false;
    }
    if (l->first_waiting == NULL && (drop_other_size(l) || ask_for_disk(l) || warm_up(l)))
        return true;
    if (p->nkits >= DT_POOL_KITS || p->nmaking >= KITS_AT_ONCE)
        return false;
    struct dt_err err;
    if (add_kit(l, &err) < 0) {
        fill_failed(p, "kit", err.msg);
        dt_sandbox_on_kit(l, &err);
        return false;
    }
    return true;
}

void dt_pool_done(struct dt_launcher *l)
{
    struct dt_pool *p = &l->pool;
    while (p->kits != NULL) {
        struct dt_pooled_kit *pk = p->kits;
        if (pk->helper != 0) {
            (void)waitpid(pk->helper, NULL, 0);
            helper_done(pk);
        }
        pooled_drop(l, pk);
    }
    while (p->ndisks > 0)
        dt_pool_disk_drop(l, &p->disks[--p->ndisks]);
}

int dt_trash(struct dt_launcher *l, int dir, const char *name, struct dt_err *err)
{
    char to[32];
    (void)snprintf(to, sizeof(to), "%016llx", (unsigned long long)dt_pool_serial(&l->pool));
    if (renameat(dir, name, l->trash, to) < 0)
        return dt_err_errno(err, "move %s to trash", name);
    dt_sweep(l);
    return 0;
}

void dt_sweep(struct dt_launcher *l)
{
    const struct dt_job job = {.op = DT_JOB_SWEEP};
    struct dt_err err;
    l->sweep_again = l->sweeping;
    if (!l->sweeping && dt_worker_send(&l->sweeper, &job, &err) == 0)
        l->sweeping = true;
}
