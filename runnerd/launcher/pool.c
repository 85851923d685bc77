#include "runnerd/launcher/pool.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "os/userns.h"
#include "runnerd/launcher/launcher.h"

enum { FIRST_BASE = 16, RETRY_MS = 1000, DISKS_AT_ONCE = 2 };

#define DEFAULT_DISK (3ULL << 30)

static const struct dt_kit no_kit = {.userns = -1, .netns = -1, .sysfs = -1};

void dt_pool_init(struct dt_pool *p)
{
    *p = (struct dt_pool){.disk_bytes = DEFAULT_DISK};
    dt_rand_bytes(&p->serial, sizeof(p->serial));
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

static int network_new(struct dt_launcher *l, struct dt_kit *k, struct dt_err *err)
{
    if (l->net == NULL) {
        if (dt_sandbox_net_make_alone(&k->netns, err) < 0)
            return -1;
    } else if (dt_sandbox_net_make(l->net, k->slot, &k->netns, err) < 0 ||
               dt_sandbox_net_policy(l->net, k->slot, DT_SANDBOX_NET_FULL, NULL, 0, err) < 0) {
        return -1;
    }
    if (setns(k->netns, CLONE_NEWNET) < 0)
        return dt_err_errno(err, "enter the sandbox's network");
    k->sysfs = sysfs_new();
    if (setns(l->host_netns, CLONE_NEWNET) < 0)
        abort(); /* a launcher in a sandbox's network must not go on */
    return 0;
}

static int kit_new(struct dt_launcher *l, struct dt_kit *ret, struct dt_err *err)
{
    struct dt_kit k = no_kit;
    k.slot = next_slot(&l->pool);
    if (k.slot == 0)
        return dt_err_set(err, DT_E_LIMIT, "all %d sandboxes of this runner exist; destroy some",
                          DT_SLOTS);
    (void)snprintf(k.cgroup, sizeof(k.cgroup), "s%u-%016llx", k.slot,
                   (unsigned long long)dt_pool_serial(&l->pool));
    if (dt_userns_new(dt_slot_base(l->instance, k.slot), &k.userns, err) < 0 ||
        network_new(l, &k, err) < 0 || dt_cgroup_make(l->cgroups, k.cgroup, err) < 0) {
        dt_kit_close(&k);
        (void)dt_pool_release(l, k.slot, k.cgroup);
        return -1;
    }
    *ret = k;
    return 0;
}

int dt_pool_kit(struct dt_launcher *l, struct dt_kit *ret, struct dt_err *err)
{
    struct dt_pool *p = &l->pool;
    if (p->nkits == 0)
        return kit_new(l, ret, err);
    *ret = p->kits[--p->nkits];
    return 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(dt_take_fd(fd));
}

void dt_kit_close(struct dt_kit *k)
{
    close_fd(&k->userns);
    close_fd(&k->netns);
    close_fd(&k->sysfs);
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
    p->disk_bytes = bytes;
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
    close_fd(&d->mount);
    close_fd(&d->listener);
}

void dt_pool_disk_drop(struct dt_launcher *l, struct dt_pool_disk *d)
{
    char name[32];
    struct dt_err err;
    dt_pool_disk_close(d);
    (void)snprintf(name, sizeof(name), "%016llx", (unsigned long long)d->serial);
    if (dt_trash(l, l->pool_dir, name, &err) < 0)
        dt_log(DT_LOG_WARN, "cannot throw a disk away", "err", err.msg, NULL);
}

static void fill_failed(struct dt_pool *p, const char *what, const char *msg)
{
    dt_log(DT_LOG_WARN, "cannot prepare for the next sandbox", "what", what, "err", msg, NULL);
    p->again_ms = dt_clock_ms() + RETRY_MS;
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

bool dt_pool_fill(struct dt_launcher *l)
{
    struct dt_pool *p = &l->pool;
    if (dt_clock_ms() < p->again_ms)
        return false;
    if (drop_other_size(l) || ask_for_disk(l))
        return true;
    if (p->nkits >= DT_POOL_KITS)
        return false;
    struct dt_err err;
    if (kit_new(l, &p->kits[p->nkits], &err) < 0) {
        fill_failed(p, "kit", err.msg);
        return false;
    }
    p->nkits++;
    return true;
}

void dt_pool_done(struct dt_launcher *l)
{
    struct dt_pool *p = &l->pool;
    while (p->nkits > 0) {
        struct dt_kit *k = &p->kits[--p->nkits];
        dt_kit_close(k);
        (void)dt_pool_release(l, k->slot, k->cgroup);
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
