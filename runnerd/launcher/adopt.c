#include "runnerd/launcher/adopt.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/rand.h"
#include "runnerd/launcher/launcher.h"

enum { DEATH_MS = 10000, PIDS_MAX = 65536 };

static bool is_member(struct dt_launcher *l, const struct dt_record *r)
{
    pid_t first = 0;
    struct dt_err err;
    return dt_cgroup_init_pid(l->cgroups, r->cgroup, &first, &err) == 0 && first == r->pid;
}

static int take_over(struct dt_launcher *l, const uint8_t id[16], const struct dt_record *r,
                     struct dt_err *err)
{
    DT_AUTO_FD int pidfd = dt_record_pidfd(r, err);
    if (pidfd < 0)
        return -1;
    if (!is_member(l, r))
        return dt_err_set(err, DT_E_GONE, "process %d is not in its group", (int)r->pid);
    if (!dt_pool_claim_slot(&l->pool, r->slot))
        return dt_err_set(err, DT_E_CONFLICT, "slot %u is taken", r->slot);
    if (dt_sandbox_adopt(l, id, r, dt_take_fd(&pidfd), err) < 0)
        return -1;
    dt_network_adopt(l, dt_sandbox_find(l, id), r);
    return 0;
}

static void clean_folder(struct dt_launcher *l, int dir, const char *name, bool half_made)
{
    struct dt_err err;
    dt_record_remove(dir);
    (void)unlinkat(dir, DT_TOOLBOX_SOCKET, 0);
    if ((half_made || !dt_disk_exists(dir)) && dt_trash(l, l->sandboxes, name, &err) < 0)
        dt_log(DT_LOG_WARN, "a half-made sandbox stays", "err", err.msg, NULL);
}

static void adopt_folder(struct dt_launcher *l, const char *name)
{
    struct dt_err err = {.code = DT_OK};
    struct dt_record r = {.creating = 0};
    uint8_t id[16];
    DT_AUTO_FD int dir =
        openat(l->sandboxes, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || !dt_id_parse(name, id))
        return;
    if (dt_record_read(dir, &r, &err) == 0 && take_over(l, id, &r, &err) == 0)
        return;
    if (err.code != DT_E_NOT_FOUND)
        dt_log(DT_LOG_INFO, "a sandbox has ended", "sandbox", name, "err", err.msg, NULL);
    clean_folder(l, dir, name, r.creating != 0);
}

/* Calls back for every entry. The folder may change meanwhile: names are collected first. */
static int each_name(int parent, struct dt_launcher *l,
                     void (*fn)(struct dt_launcher *, const char *), struct dt_err *err)
{
    struct dirent **names = NULL;
    int n = scandirat(parent, ".", &names, NULL, NULL);
    if (n < 0)
        return dt_err_errno(err, "read the data directory");
    for (int i = 0; i < n; i++) {
        if (strcmp(names[i]->d_name, ".") != 0 && strcmp(names[i]->d_name, "..") != 0)
            fn(l, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    return 0;
}

static void drop_pooled(struct dt_launcher *l, const char *name)
{
    struct dt_err err;
    if (dt_trash(l, l->pool_dir, name, &err) < 0)
        dt_log(DT_LOG_WARN, "a pooled disk stays", "err", err.msg, NULL);
}

static bool is_adopted(struct dt_launcher *l, const char *cgroup)
{
    for (unsigned i = 0; i < DT_SANDBOX_BUCKETS; i++) {
        for (const struct dt_sandbox *s = l->sandboxes_by_id[i]; s != NULL; s = s->next) {
            if (strcmp(s->kit.cgroup, cgroup) == 0)
                return true;
        }
    }
    return false;
}

static int end_stray(void *arg, const char *name)
{
    struct dt_launcher *l = arg;
    struct dt_err err;
    if (is_adopted(l, name))
        return 0;
    if (dt_cgroup_kill(l->cgroups, name, &err) < 0 ||
        dt_cgroup_wait_empty(l->cgroups, name, dt_clock_ms() + DEATH_MS, &err) < 0 ||
        dt_cgroup_remove(l->cgroups, name, &err) < 0)
        dt_log(DT_LOG_ERROR, "a stray control group stays", "cgroup", name, "err", err.msg, NULL);
    return 0;
}

int dt_adopt(struct dt_launcher *l, struct dt_err *err)
{
    dt_object_clean(l);
    /* Strays before the disks they use, and after those that are no strays are known. */
    if (each_name(l->sandboxes, l, adopt_folder, err) < 0 ||
        dt_cgroup_list(l->cgroups, end_stray, l, err) < 0 ||
        each_name(l->pool_dir, l, drop_pooled, err) < 0)
        return -1;
    return 0;
}

static void end_folder(struct dt_launcher *l, const char *name)
{
    DT_AUTO_FD int dir =
        openat(l->sandboxes, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return;
    dt_record_remove(dir);
    (void)unlinkat(dir, DT_TOOLBOX_SOCKET, 0);
}

static void remove_from(int dir, const char *name)
{
    struct dt_err err;
    if (dt_fd_remove_tree(dir, name, &err) < 0)
        dt_log(DT_LOG_WARN, "something stays on the disk", "err", err.msg, NULL);
}

static void remove_pooled(struct dt_launcher *l, const char *name)
{
    remove_from(l->pool_dir, name);
}

static void remove_trash(struct dt_launcher *l, const char *name)
{
    remove_from(l->trash, name);
}

int dt_end_all(struct dt_launcher *l, struct dt_err *err)
{
    /* Nothing is adopted, so every group is a stray. */
    if (dt_cgroup_list(l->cgroups, end_stray, l, err) < 0 ||
        each_name(l->sandboxes, l, end_folder, err) < 0 ||
        each_name(l->pool_dir, l, remove_pooled, err) < 0)
        return -1;
    return each_name(l->trash, l, remove_trash, err);
}
