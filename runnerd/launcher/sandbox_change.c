/* What running sandboxes take and have, and what their records say. */
#include "runnerd/launcher/sandbox_in.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "runnerd/launcher/launch.h"

static int change_record(struct dt_sandbox *s,
                         void (*change)(struct dt_record *r, const struct dt_sandbox *s),
                         struct dt_err *err)
{
    struct dt_record r;
    DT_AUTO_FD int dir = dt_sandbox_folder(s);
    if (dir < 0)
        return dt_err_errno(err, "open the sandbox's folder");
    if (dt_record_read(dir, &r, err) < 0)
        return -1;
    change(&r, s);
    return dt_record_write(dir, &r, err);
}

static void set_created(struct dt_record *r, const struct dt_sandbox *s)
{
    (void)s;
    r->creating = 0;
}

static void set_paused(struct dt_record *r, const struct dt_sandbox *s)
{
    r->paused = s->freeze.paused;
}

static void set_rules(struct dt_record *r, const struct dt_sandbox *s)
{
    r->addr = s->addr;
    r->net = s->spec->net;
    r->ncidrs = s->spec->ncidrs;
    memcpy(r->cidrs, s->spec->cidrs, sizeof(r->cidrs));
}

/* So that the next launcher does not take it for half-made. */
void dt_sandbox_mark_created(struct dt_sandbox *s)
{
    struct dt_err err = {.code = DT_OK};
    if (change_record(s, set_created, &err) < 0 && err.code != DT_E_NOT_FOUND)
        dt_log(DT_LOG_WARN, "cannot write a sandbox's record", "err", err.msg, NULL);
}

int dt_sandbox_note_paused(struct dt_sandbox *s, struct dt_err *err)
{
    return change_record(s, set_paused, err);
}

static void fill_stats(struct dt_sandbox *s, struct dt_lw_stats *out)
{
    struct dt_cgroup_stats c;
    struct dt_err err;
    if (dt_cgroup_stats(s->l->cgroups, s->kit.cgroup, &c, &err) == 0) {
        out->memory_bytes = c.memory_bytes;
        out->memory_limit = c.memory_limit;
        out->cpu_usec = c.cpu_usec;
        out->pids = c.pids;
        out->oom_kills = c.oom_kills;
        out->cache_bytes = c.cache_bytes;
    }
    char path[32];
    struct dt_disk_usage u;
    (void)snprintf(path, sizeof(path), "/proc/%d/root", (int)s->box.pid);
    DT_AUTO_FD int root = open(path, O_PATH | O_CLOEXEC);
    DT_AUTO_FD int dir = dt_sandbox_folder(s);
    if (root >= 0 && dir >= 0 && dt_disk_usage(s->l->disks, dir, root, &u, &err) == 0) {
        out->disk_used = u.used_bytes;
        out->disk_total = u.total_bytes;
    }
}

void dt_sandbox_stats(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    struct dt_sandbox *s = dt_sandbox_find(l, r->id);
    if (s == NULL && !dt_sandbox_on_host(l, r->id)) {
        dt_sandbox_refuse(l, r, asked, DT_LW_NOT_FOUND, "there is no sandbox with this id");
        return;
    }
    struct dt_lw_answer a;
    dt_answer_init(&a, asked, r->id, NULL);
    if (s != NULL && (s->state == DT_RUNNING || s->state == DT_STOPPING))
        fill_stats(s, &a.u.stats);
    dt_peer_answer(l, asked, &a);
}

static int limit_running(struct dt_sandbox *s, const struct dt_lw_spec *spec, struct dt_err *err)
{
    struct dt_launcher *l = s->l;
    struct dt_cgroup_stats now;
    const struct dt_cgroup_limits limits = {
        .memory_bytes = spec->memory_bytes, .cpu_millis = spec->cpu_millis, .pids = spec->pids};
    /* The kernel would end processes to come below a limit. */
    if (dt_cgroup_stats(l->cgroups, s->kit.cgroup, &now, err) < 0)
        return -1;
    if (now.memory_bytes > spec->memory_bytes)
        return dt_err_set(err, DT_E_CONFLICT, "it uses more memory than that just now");
    return dt_cgroup_limit(l->cgroups, s->kit.cgroup, &limits, err);
}

/* NULL when it was answered. */
static struct dt_sandbox *running(struct dt_launcher *l, const struct dt_lw_request *r,
                                  struct dt_asked *asked)
{
    struct dt_sandbox *s = dt_sandbox_find(l, r->id);
    if (s != NULL && s->state == DT_RUNNING)
        return s;
    dt_sandbox_refuse(l, r, asked, s == NULL ? DT_LW_NOT_FOUND : DT_LW_BUSY,
                      s == NULL ? "the sandbox does not run"
                                : "the sandbox is just starting or ending");
    return NULL;
}

void dt_sandbox_resize(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    struct dt_err err;
    if (dt_sandbox_find(l, r->id) == NULL) {
        dt_errand_grow(l, r, asked);
        return;
    }
    struct dt_sandbox *s = running(l, r, asked);
    if (s != NULL) {
        int rc = limit_running(s, &r->spec, &err);
        dt_peer_reply(l, asked, r->id, rc < 0 ? &err : NULL);
    }
}

void dt_sandbox_network(struct dt_launcher *l, const struct dt_lw_request *r,
                        struct dt_asked *asked)
{
    struct dt_err err;
    struct dt_sandbox *s = running(l, r, asked);
    if (s == NULL)
        return;
    struct dt_lw_spec spec = r->spec;
    s->spec = &spec; /* it has none of its own any more */
    int rc = dt_network_change(l, s, &err);
    if (rc == 0)
        rc = change_record(s, set_rules, &err);
    s->spec = NULL;
    if (rc < 0 && err.code == DT_E_UNAVAILABLE)
        dt_sandbox_refuse(l, r, asked, DT_LW_NO_NETWORK, err.msg);
    else
        dt_peer_reply(l, asked, r->id, rc < 0 ? &err : NULL);
}

void dt_sandbox_pause(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    struct dt_sandbox *s = running(l, r, asked);
    if (s == NULL)
        return;
    if (r->op == DT_LW_PAUSE)
        dt_freeze_pause(s, asked);
    else
        dt_freeze_resume(s, asked);
}
