#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "runnerd/backup.h"
#include "runnerd/boot.h"
#include "runnerd/lifecycle.h"
#include "runnerd/network.h"
#include "runnerd/sampler.h"
#include "runnerd/store_log.h"
#include "runnerd/volume.h"

/* An archive that failed, for want of room, is not tried again at once. */
enum { ARCHIVE_AGAIN_MS = 600000 };
enum { LIST_MS = 30000, CALL_MS = 60000, FLUSH_TICKS = 6, LIST_TICKS = 6, SWEEP_TICKS = 360 };

struct item {
    uint8_t id[16];
    struct dt_sandbox_found found;
    uint64_t cpu_usec;
};

/* One listing, page by page. */
struct listing {
    struct dt_runnerd *rd;
    struct item *items;
    size_t n;
    uint64_t started_ms;
};

static struct listing *current; /* one at a time, of the one server of a program */

static void listing_free(struct listing *l)
{
    free(l->items);
    free(l);
    current = NULL;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(((const struct item *)a)->id, ((const struct item *)b)->id, 16);
}

static void on_destroyed(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    (void)ctx;
    struct dt_err why;
    if (a != NULL && dt_launcher_result(a, &why) < 0 && a->result != DT_LW_NOT_FOUND)
        dt_log(DT_LOG_WARN, "cannot destroy an unknown sandbox", "err", why.msg, NULL);
    else if (a == NULL)
        dt_log(DT_LOG_WARN, "cannot destroy an unknown sandbox", "err", err->msg, NULL);
}

/* What runs without a row belongs to nobody. */
static void destroy_unknown(struct dt_runnerd *rd, const struct item *item)
{
    struct dt_lw_request r = {.op = DT_LW_DESTROY};
    struct dt_err err;
    char id[DT_UUID_SIZE];
    dt_uuid_text(item->id, id);
    if (dt_live_by_id(&rd->live, id) != NULL)
        return;
    memcpy(r.id, item->id, sizeof(r.id));
    dt_log(DT_LOG_INFO, "destroying a sandbox without a row", "sandbox", id, NULL);
    if (dt_launcher_client_call(rd->launcher, &r, -1, CALL_MS, on_destroyed, rd, &err) < 0)
        dt_log(DT_LOG_WARN, "cannot destroy an unknown sandbox", "err", err.msg, NULL);
}

/* Work of its own is activity like a client's. */
static void sample(struct dt_live *l, uint64_t cpu_usec, uint64_t now_ms)
{
    bool known = l->cpu_ms != 0 && cpu_usec >= l->cpu_usec && now_ms > l->cpu_ms;
    if (known && l->state == DT_SANDBOX_STARTED &&
        dt_sandbox_at_work(cpu_usec - l->cpu_usec, now_ms - l->cpu_ms))
        dt_live_touch(l);
    l->cpu_usec = cpu_usec;
    l->cpu_ms = now_ms;
}

static void compare(struct listing *list)
{
    struct dt_runnerd *rd = list->rd;
    if (list->n > 0)
        qsort(list->items, list->n, sizeof(list->items[0]), by_id);
    for (size_t i = 0; i < list->n; i++)
        destroy_unknown(rd, &list->items[i]);
    for (struct dt_live *l = dt_live_next(&rd->live, NULL), *next; l != NULL; l = next) {
        next = dt_live_next(&rd->live, l);
        struct item key = {0}, *found = NULL;
        if (l->busy || l->changed_ms >= list->started_ms || dt_uuid_bytes(l->id, key.id) < 0)
            continue;
        if (list->n > 0)
            found = bsearch(&key, list->items, list->n, sizeof(key), by_id);
        const struct dt_sandbox_found none = {.has_disk = false};
        enum dt_sandbox_repair what =
            dt_sandbox_repair(l->state, l->desired, found != NULL ? found->found : none);
        if (found != NULL && found->found.running)
            sample(l, found->cpu_usec, list->started_ms);
        if (what != DT_REPAIR_KEEP)
            dt_lifecycle_repair(rd, l, what, NULL);
    }
    if (!rd->listed) {
        rd->listed = true;
        if (rd->on_ready != NULL)
            rd->on_ready(rd);
    }
}

static void ask(struct listing *list, uint32_t cursor);

static void on_page(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct listing *list = ctx;
    struct dt_err why;
    if (a != NULL && dt_launcher_result(a, &why) == 0 && a->u.list.count <= DT_LW_LIST_MAX) {
        const struct dt_lw_list *page = &a->u.list;
        struct item *more = realloc(list->items, (list->n + page->count + 1) * sizeof(*more));
        if (more != NULL) {
            list->items = more;
            for (uint32_t i = 0; i < page->count; i++) {
                const struct dt_lw_item *from = &page->items[i];
                struct item *item = &list->items[list->n++];
                memcpy(item->id, from->id, sizeof(item->id));
                item->cpu_usec = from->cpu_usec;
                item->found = (struct dt_sandbox_found){from->has_disk != 0, from->running != 0,
                                                        from->paused != 0, from->archived != 0};
            }
            if (page->next != 0) {
                ask(list, page->next);
                return;
            }
            compare(list);
        }
    } else {
        dt_log(DT_LOG_WARN, "cannot list sandboxes", "err", err != NULL ? err->msg : "bad answer",
               NULL);
    }
    listing_free(list);
}

static void ask(struct listing *list, uint32_t cursor)
{
    struct dt_lw_request r = {.op = DT_LW_LIST, .cursor = cursor};
    struct dt_err err;
    if (dt_launcher_client_call(list->rd->launcher, &r, -1, LIST_MS, on_page, list, &err) < 0)
        listing_free(list);
}

void dt_reconcile(struct dt_runnerd *rd)
{
    dt_volumes_resume(rd);
    if (current != NULL)
        return;
    struct listing *list = calloc(1, sizeof(*list));
    if (list == NULL)
        return;
    current = list;
    list->rd = rd;
    list->started_ms = dt_clock_ms();
    ask(list, 0);
}

/* --- by the clock --- */

struct flush {
    size_t n;
    struct {
        char id[DT_UUID_SIZE];
        int64_t activity_ms;
    } rows[];
};

static int flush_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    const struct flush *f = arg;
    for (size_t i = 0; i < f->n; i++) {
        if (dt_store_sandbox_activity(c, f->rows[i].id, f->rows[i].activity_ms, err) < 0)
            return -1;
    }
    return 0;
}

static void free_arg(void *arg, const struct dt_err *err)
{
    if (err != NULL)
        dt_log(DT_LOG_WARN, "store", "err", err->msg, NULL);
    free(arg);
}

static void flush_activity(struct dt_runnerd *rd)
{
    struct dt_err err;
    struct flush *f = calloc(1, sizeof(*f) + rd->live.count * sizeof(f->rows[0]));
    if (f == NULL)
        return;
    for (struct dt_live *l = dt_live_next(&rd->live, NULL); l != NULL;
         l = dt_live_next(&rd->live, l)) {
        if (!l->activity_dirty)
            continue;
        (void)snprintf(f->rows[f->n].id, DT_UUID_SIZE, "%s", l->id);
        f->rows[f->n++].activity_ms = l->timers.activity_ms;
        l->activity_dirty = false;
    }
    if (f->n == 0 || dt_db_submit(rd->db, flush_job, f, free_arg, &err) < 0)
        free(f);
}

static int sweep_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    (void)arg;
    int64_t now = dt_clock_real_ms();
    int64_t before = now - (int64_t)24 * 3600 * 1000;
    return dt_store_sweep(c, now, before, err) < 0 ? -1 : dt_store_volume_sweep(c, before, err);
}

static int trim_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    (void)arg;
    return dt_store_log_trim(c, DT_LOG_ALL_MAX, err);
}

/* Whoever nobody used may have work of its own since the last listing. */
struct check {
    struct dt_runnerd *rd;
    char id[DT_UUID_SIZE];
    uint64_t asked_ms;
};

static void on_checked(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct check *c = ctx;
    struct dt_err why;
    struct dt_live *l = dt_live_by_id(&c->rd->live, c->id);
    bool answered = a != NULL && dt_launcher_result(a, &why) == 0;
    (void)err;
    if (l != NULL)
        l->checking = false;
    if (l != NULL && answered && !l->busy && l->changed_ms < c->asked_ms) {
        if (l->cpu_ms == 0) { /* since its start nobody has looked */
            l->cpu_usec = 0;
            l->cpu_ms = l->changed_ms;
        }
        sample(l, a->u.stats.cpu_usec, c->asked_ms);
        enum dt_sandbox_repair due = dt_sandbox_due(l->state, &l->timers, dt_clock_real_ms());
        if (due != DT_REPAIR_KEEP)
            dt_lifecycle_repair(c->rd, l, due, NULL);
    }
    free(c);
}

static void check(struct dt_runnerd *rd, struct dt_live *l)
{
    struct dt_lw_request r = {.op = DT_LW_STATS};
    struct dt_err err;
    struct check *c = l->checking ? NULL : calloc(1, sizeof(*c));
    if (c == NULL)
        return;
    c->rd = rd;
    c->asked_ms = dt_clock_ms();
    memcpy(c->id, l->id, sizeof(c->id));
    (void)dt_uuid_bytes(l->id, r.id);
    l->checking = true;
    if (dt_launcher_client_call(rd->launcher, &r, -1, CALL_MS, on_checked, c, &err) < 0) {
        l->checking = false;
        free(c);
    }
}

/* A suspended organization may compute for some hours more. */
static bool must_rest(const struct dt_runnerd *rd, const struct dt_live *l, int64_t now_ms)
{
    const struct dt_org *o = dt_directory_org(&rd->directory, l->org);
    return l->state == DT_SANDBOX_STARTED && o != NULL && dt_org_suspended(o, now_ms) &&
           now_ms - o->suspended_ms >= o->suspension_grace_hours * 3600 * 1000;
}

static void do_due(struct dt_runnerd *rd, struct dt_live *l, int64_t now)
{
    if (must_rest(rd, l, now)) {
        dt_lifecycle_repair(rd, l, DT_REPAIR_STOP, NULL);
        return;
    }
    enum dt_sandbox_repair due = dt_sandbox_due(l->state, &l->timers, now);
    if (due == DT_REPAIR_ARCHIVE && dt_clock_ms() < l->archive_again_ms)
        return;
    if (due == DT_REPAIR_ARCHIVE)
        l->archive_again_ms = dt_clock_ms() + ARCHIVE_AGAIN_MS;
    if (due != DT_REPAIR_KEEP && l->state == DT_SANDBOX_STARTED)
        check(rd, l);
    else if (due != DT_REPAIR_KEEP)
        dt_lifecycle_repair(rd, l, due, NULL);
    else
        dt_backup_retry(rd, l);
}

void dt_timers_run(struct dt_runnerd *rd)
{
    struct dt_err err;
    int64_t now = dt_clock_real_ms();
    for (struct dt_live *l = dt_live_next(&rd->live, NULL), *next; l != NULL; l = next) {
        next = dt_live_next(&rd->live, l);
        if (l->exchanges > 0)
            dt_live_touch(l);
        dt_upstreams_rest(l);
        if (!dt_launcher_client_is_up(rd->launcher))
            continue;
        dt_network_limit_apply(rd, l);
        if (l->busy)
            continue;
        do_due(rd, l, now);
    }
    flush_activity(rd);
    dt_sampler_run(rd);
    rd->ticks++;
    if (rd->ticks % LIST_TICKS == 0 && dt_launcher_client_is_up(rd->launcher))
        dt_reconcile(rd);
    if (rd->ticks % LIST_TICKS == 0)
        (void)!dt_db_submit(rd->db, trim_job, NULL, NULL, &err);
    if (rd->ticks % SWEEP_TICKS == 0) {
        dt_signed_sweep(&rd->signed_urls, NULL, now);
        (void)!dt_db_submit(rd->db, sweep_job, NULL, NULL, &err);
    }
}
