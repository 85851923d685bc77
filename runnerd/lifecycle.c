#include "runnerd/lifecycle.h"

#include <stdio.h>

#include "runnerd/boot.h"
#include "runnerd/identity/quota.h"
#include "runnerd/lifecycle_op.h"
#include "runnerd/network.h"
#include "runnerd/sampler.h"

void dt_lifecycle_hold(struct dt_runnerd *rd, struct dt_live *l)
{
    const struct dt_resources res = {l->cpu_millis, l->memory_mib, l->disk_mib};
    const struct dt_resources want =
        dt_resources_share(&res, dt_sandbox_shares(l->state, l->desired));
    dt_holdings_set(rd->holdings, l->org, &l->held, &want);
}

static bool has_booted(enum dt_sandbox_state before, enum dt_sandbox_state now)
{
    return now == DT_SANDBOX_STARTED &&
           (before == DT_SANDBOX_CREATING || before == DT_SANDBOX_STARTING ||
            before == DT_SANDBOX_RESTORING);
}

struct dt_live *dt_lifecycle_show(struct dt_runnerd *rd, const struct dt_sandbox_row *row)
{
    struct dt_live *l = dt_live_by_id(&rd->live, row->id);
    if (rd->on_change != NULL)
        rd->on_change(rd, row->org, row->id);
    if (rd->on_sandbox != NULL) /* a new entry has no token yet */
        rd->on_sandbox(rd, row, l != NULL && l->token[0] != '\0' ? l : NULL);
    if (row->state == DT_SANDBOX_DESTROYED) {
        if (l != NULL) {
            const struct dt_resources none = {0};
            dt_holdings_set(rd->holdings, l->org, &l->held, &none);
            dt_live_remove(&rd->live, l);
        }
        dt_signed_sweep(&rd->signed_urls, row->id, 0);
        return NULL;
    }
    enum dt_sandbox_state before = l != NULL ? l->state : row->state;
    if (l == NULL)
        l = dt_live_add(&rd->live, row->id, row->org, row->name);
    if (l == NULL)
        return NULL;
    if (row->state != DT_SANDBOX_STARTED)
        dt_upstreams_close(l);
    if (row->state == DT_SANDBOX_ARCHIVED)
        dt_telemetry_forget(&rd->live.telemetry, &l->telemetry);
    l->state = row->state;
    l->desired = row->desired;
    if (l->token[0] == '\0' || l->starts != row->starts) {
        dt_preview_token(rd->secret, l->id, row->starts, l->token);
        l->cpu_ms = 0;
    }
    l->starts = row->starts;
    if (has_booted(before, l->state))
        dt_sampler_started(l);
    if (row->signing_epoch > l->signing_epoch) /* the row may be older than a rotation */
        l->signing_epoch = row->signing_epoch;
    l->is_public = row->is_public;
    l->linked = row->linked_to != NULL;
    (void)snprintf(l->target, sizeof(l->target), "%s", row->target);
    l->cpu_millis = row->res.cpu_millis;
    l->memory_mib = row->res.memory_mib;
    l->disk_mib = row->res.disk_mib;
    l->backup = row->backup;
    l->backup_ms = row->backup_ms;
    l->lost = row->lost;
    l->timers.auto_stop_min = row->auto_stop;
    l->timers.auto_archive_min = row->auto_archive;
    l->timers.auto_delete_min = row->auto_delete;
    l->timers.auto_pause_min = row->auto_pause;
    l->timers.destroy_ms = row->destroy_ms;
    if (row->activity_ms > l->timers.activity_ms)
        l->timers.activity_ms = row->activity_ms;
    if (!l->busy)
        dt_lifecycle_hold(rd, l);
    dt_network_limit_apply(rd, l);
    dt_live_changed(l);
    return l;
}

/* The start that was asked for while it was being archived. */
static void start_next(struct dt_runnerd *rd, struct dt_live *l)
{
    dt_lifecycle_done *done = l->next_done;
    void *ctx = l->next_ctx;
    struct dt_err err;
    bool already = false;
    l->next_done = NULL;
    if (dt_lifecycle_change(rd, l, DT_CALL_START, done, ctx, &already, &err) < 0)
        done(ctx, NULL, &err);
}

void dt_lifecycle_wake(struct dt_runnerd *rd, struct dt_live *l)
{
    if (l->busy)
        return;
    if (l->next_done != NULL) {
        start_next(rd, l);
    } else if (l->exited) {
        struct dt_lw_answer event = {.status = l->exit_status, .oom = l->oom};
        l->exited = false;
        (void)dt_uuid_bytes(l->id, event.id);
        dt_lifecycle_exited(rd, &event);
    }
}

void dt_lifecycle_quotas(const struct dt_runnerd *rd, const char *org,
                         struct dt_create_limits *each, struct dt_resources *all)
{
    int64_t quotas[DT_QUOTAS];
    dt_quotas_of(rd->config, dt_directory_org(&rd->directory, org), quotas);
    *each = (struct dt_create_limits){quotas[DT_QUOTA_MAX_CPU], quotas[DT_QUOTA_MAX_MEMORY],
                                      quotas[DT_QUOTA_MAX_DISK]};
    *all = (struct dt_resources){quotas[DT_QUOTA_TOTAL_CPU] * 1000,
                                 quotas[DT_QUOTA_TOTAL_MEMORY] * 1024,
                                 quotas[DT_QUOTA_TOTAL_DISK] * 1024};
}

int dt_lifecycle_check_up(const struct dt_runnerd *rd, struct dt_err *err)
{
    if (dt_launcher_client_is_up(rd->launcher) || dt_op_may_wait(rd))
        return 0;
    return dt_err_set(err, DT_E_UNAVAILABLE,
                      "the launcher (daytona-launcher) cannot be reached: try again soon");
}

struct dt_sandbox_now dt_lifecycle_now(const struct dt_live *l)
{
    return (struct dt_sandbox_now){
        .state = l->state,
        .desired = l->desired,
        .busy = l->busy,
        .ephemeral = l->timers.auto_delete_min == 0,
        .backing_up = l->backing_up,
        .recoverable = dt_live_recoverable(l),
    };
}

static enum dt_op_kind kind_of(enum dt_sandbox_call call, const struct dt_live *l)
{
    static const enum dt_op_kind of_call[DT_CALL_COUNT] = {
        [DT_CALL_START] = DT_OP_START,    [DT_CALL_STOP] = DT_OP_STOP,
        [DT_CALL_DELETE] = DT_OP_DESTROY, [DT_CALL_ARCHIVE] = DT_OP_ARCHIVE,
        [DT_CALL_PAUSE] = DT_OP_PAUSE,
    };
    if (call == DT_CALL_STOP && l->timers.auto_delete_min == 0)
        return DT_OP_DESTROY;
    if (call == DT_CALL_START && l->state == DT_SANDBOX_ARCHIVED)
        return DT_OP_RESTORE;
    if (call == DT_CALL_START && l->state == DT_SANDBOX_PAUSED)
        return DT_OP_RESUME;
    return of_call[call];
}

/* Before anything begins, what it will take is taken. */
static int reserve(struct dt_runnerd *rd, struct dt_live *l, enum dt_op_kind kind,
                   const struct dt_resources *res, enum dt_sandbox_desired desired,
                   struct dt_err *err)
{
    struct dt_create_limits each;
    struct dt_resources most;
    dt_lifecycle_quotas(rd, l->org, &each, &most);
    const struct dt_resources want =
        dt_resources_share(res, dt_sandbox_shares(dt_op_kinds[kind].during, desired));
    return dt_holdings_try(rd->holdings, l->org, &l->held, &want, &most, err);
}

int dt_lifecycle_recover(struct dt_runnerd *rd, struct dt_live *l, bool start,
                         dt_lifecycle_done *done, void *ctx, struct dt_err *err)
{
    const struct dt_sandbox_now now = dt_lifecycle_now(l);
    const struct dt_resources res = {l->cpu_millis, l->memory_mib, l->disk_mib};
    if (dt_sandbox_check_call(DT_CALL_RECOVER, &now, err) < 0 ||
        dt_lifecycle_check_up(rd, err) < 0 ||
        reserve(rd, l, DT_OP_RESTORE, &res, DT_DESIRED_STARTED, err) < 0)
        return -1;
    struct dt_op *op = dt_op_new(rd, DT_OP_RESTORE, done, ctx, err);
    if (op == NULL) {
        dt_lifecycle_hold(rd, l);
        return -1;
    }
    (void)snprintf(op->row.id, sizeof(op->row.id), "%s", l->id);
    op->without_start = !start;
    return dt_op_begin_reserved(rd, l, op, err);
}

static void on_cancelled(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    (void)ctx;
    (void)a;
    (void)err; /* the archiving itself says how it ended */
}

/* Whoever starts a sandbox that is just being archived has it back at once. */
static int start_after(struct dt_runnerd *rd, struct dt_live *l, dt_lifecycle_done *done, void *ctx,
                       struct dt_err *err)
{
    struct dt_lw_request r = {.op = DT_LW_CANCEL};
    (void)dt_uuid_bytes(l->id, r.id);
    if (dt_launcher_client_call(rd->launcher, &r, -1, DT_OP_SHORT_MS, on_cancelled, rd, err) < 0)
        return -1;
    l->next_done = done;
    l->next_ctx = ctx;
    return 0;
}

int dt_lifecycle_change(struct dt_runnerd *rd, struct dt_live *l, enum dt_sandbox_call call,
                        dt_lifecycle_done *done, void *ctx, bool *already, struct dt_err *err)
{
    *already = false;
    if (call == DT_CALL_START && l->state == DT_SANDBOX_ARCHIVING && l->busy &&
        l->next_done == NULL)
        return start_after(rd, l, done, ctx, err);
    bool cancelled = call == DT_CALL_DELETE && dt_op_wait_cancel(rd, l->id) && !l->busy;
    const struct dt_sandbox_now now = dt_lifecycle_now(l);
    int go = cancelled ? 1 : dt_sandbox_check_call(call, &now, err);
    *already = go == 0;
    if (go <= 0)
        return go;
    if (dt_lifecycle_check_up(rd, err) < 0)
        return -1;
    enum dt_op_kind kind = kind_of(call, l);
    const struct dt_resources res = {l->cpu_millis, l->memory_mib, l->disk_mib};
    if ((kind == DT_OP_START || kind == DT_OP_RESTORE || kind == DT_OP_RESUME) &&
        reserve(rd, l, kind, &res, dt_op_kinds[kind].desired, err) < 0)
        return -1;
    return dt_op_begin(rd, l, kind, done, ctx, err);
}

int dt_lifecycle_resize(struct dt_runnerd *rd, struct dt_live *l, const struct dt_resize_ask *ask,
                        dt_lifecycle_done *done, void *ctx, bool *already, struct dt_err *err)
{
    const struct dt_sandbox_now now = dt_lifecycle_now(l);
    const struct dt_resources has = {l->cpu_millis, l->memory_mib, l->disk_mib};
    struct dt_create_limits each;
    struct dt_resources most, want;
    dt_lifecycle_quotas(rd, l->org, &each, &most);
    *already = false;
    if (dt_sandbox_check_call(DT_CALL_RESIZE, &now, err) < 0 ||
        dt_resize_check(ask, &each, &has, l->state == DT_SANDBOX_STARTED, &want, err) < 0 ||
        dt_lifecycle_check_up(rd, err) < 0)
        return -1;
    *already = dt_resources_equal(&has, &want);
    if (*already)
        return 0;
    if (reserve(rd, l, DT_OP_RESIZE, &want, l->desired, err) < 0)
        return -1;
    struct dt_op *op = dt_op_new(rd, DT_OP_RESIZE, done, ctx, err);
    if (op == NULL) {
        dt_lifecycle_hold(rd, l);
        return -1;
    }
    (void)snprintf(op->row.id, sizeof(op->row.id), "%s", l->id);
    op->target = want;
    return dt_op_begin_reserved(rd, l, op, err);
}
