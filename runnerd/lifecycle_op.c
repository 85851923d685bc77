#include "runnerd/lifecycle_op.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

enum { NAME_ROOM = 320 };

const struct dt_op_rules dt_op_kinds[DT_OP_KINDS] = {
    [DT_OP_CREATE] = {"create", DT_SANDBOX_CREATING, DT_SANDBOX_STARTED, DT_DESIRED_STARTED,
                      DT_LW_CREATE, DT_OP_SHORT_MS, DT_OP_BOOTS | DT_OP_SPEC | DT_OP_AGAIN},
    [DT_OP_FORK] = {"fork", DT_SANDBOX_CREATING, DT_SANDBOX_STARTED, DT_DESIRED_STARTED, DT_LW_FORK,
                    DT_OP_LONG_MS, DT_OP_BOOTS | DT_OP_SPEC | DT_OP_AGAIN},
    [DT_OP_START] = {"start", DT_SANDBOX_STARTING, DT_SANDBOX_STARTED, DT_DESIRED_STARTED,
                     DT_LW_START, DT_OP_SHORT_MS, DT_OP_BOOTS | DT_OP_SPEC | DT_OP_AGAIN},
    [DT_OP_RESTORE] = {"restore", DT_SANDBOX_RESTORING, DT_SANDBOX_STARTED, DT_DESIRED_STARTED,
                       DT_LW_RESTORE, DT_OP_LONG_MS, DT_OP_EARLY},
    [DT_OP_RESUME] = {"resume", DT_SANDBOX_RESUMING, DT_SANDBOX_STARTED, DT_DESIRED_STARTED,
                      DT_LW_RESUME, DT_OP_SHORT_MS, DT_OP_OUTSIDE | DT_OP_AGAIN},
    [DT_OP_PAUSE] = {"pause", DT_SANDBOX_PAUSING, DT_SANDBOX_PAUSED, DT_DESIRED_PAUSED, DT_LW_PAUSE,
                     DT_OP_SHORT_MS, DT_OP_OUTSIDE | DT_OP_AGAIN},
    [DT_OP_STOP] = {"stop", DT_SANDBOX_STOPPING, DT_SANDBOX_STOPPED, DT_DESIRED_STOPPED, DT_LW_STOP,
                    DT_OP_STOP_GRACE_MS + DT_OP_SHORT_MS, DT_OP_EARLY | DT_OP_GONE_OK},
    [DT_OP_DESTROY] = {"destroy", DT_SANDBOX_DESTROYING, DT_SANDBOX_DESTROYED, DT_DESIRED_DESTROYED,
                       DT_LW_DESTROY, DT_OP_SHORT_MS, DT_OP_GONE_OK | DT_OP_AGAIN},
    [DT_OP_ARCHIVE] = {"archive", DT_SANDBOX_ARCHIVING, DT_SANDBOX_ARCHIVED, DT_DESIRED_ARCHIVED,
                       DT_LW_ARCHIVE, DT_OP_LONG_MS, DT_OP_EARLY},
    /* `after` and `desired` are what they were. */
    [DT_OP_RESIZE] = {"resize", DT_SANDBOX_RESIZING, DT_SANDBOX_STARTED, DT_DESIRED_STARTED,
                      DT_LW_RESIZE, DT_OP_LONG_MS, DT_OP_SPEC | DT_OP_OUTSIDE | DT_OP_AGAIN},
};

int dt_op_set_text(char **at, const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    if (text != NULL && copy == NULL)
        return -1;
    free(*at);
    *at = copy;
    return 0;
}

void dt_op_set_state(struct dt_sandbox_row *r, enum dt_sandbox_state state,
                     enum dt_sandbox_desired desired)
{
    r->state = state;
    r->desired = desired;
    r->updated_ms = dt_clock_real_ms();
    r->activity_ms = r->updated_ms;
}

void dt_op_free(struct dt_op *op)
{
    const struct dt_resources none = {0};
    dt_holdings_set(op->rd->holdings, op->row.org, &op->held, &none);
    dt_sandbox_row_done(&op->row);
    free(op->snapshot);
    free(op->user);
    free((char *)op->ask.allow_list);
    json_decref(op->env);
    (void)dt_mounts_free(op->mounts);
    free(op);
}

static void dt_op_answer(struct dt_op *op, const struct dt_err *err)
{
    dt_lifecycle_done *done = op->done;
    op->done = NULL;
    if (done != NULL)
        done(op->ctx, &op->row, err);
}

/* Nothing is done with it now. */
static void rest(struct dt_runnerd *rd, const char *id)
{
    struct dt_live *l = dt_live_by_id(&rd->live, id);
    if (l == NULL)
        return;
    l->busy = false;
    l->changed_ms = dt_clock_ms();
    dt_lifecycle_hold(rd, l); /* also when nothing came of it */
}

static void wake(struct dt_runnerd *rd, const char *id)
{
    struct dt_live *l = dt_live_by_id(&rd->live, id);
    if (l != NULL)
        dt_lifecycle_wake(rd, l);
}

/* The end of every operation: log, answer, and what happened meanwhile. */
void dt_op_over(struct dt_op *op, const struct dt_err *err)
{
    struct dt_runnerd *rd = op->rd;
    char ms[32], launcher_ms[32];
    (void)snprintf(launcher_ms, sizeof(launcher_ms), "%.2f", (double)op->launcher_ns / 1e6);
    (void)snprintf(ms, sizeof(ms), "%.2f", (double)(dt_clock_ns() - op->start_ns) / 1e6);
    dt_log(err == NULL ? DT_LOG_INFO : DT_LOG_WARN, "sandbox", "op", dt_op_kinds[op->kind].name,
           "sandbox", op->row.id, "state", dt_sandbox_state_text(op->row.state), "ms", ms,
           "launcherMs", launcher_ms, "err", err == NULL ? NULL : err->msg, NULL);
    if (err == NULL && op->kind == DT_OP_CREATE)
        dt_metrics_create(&rd->metrics, dt_clock_ns() - op->start_ns);
    char id[DT_UUID_SIZE], parent[DT_UUID_SIZE];
    memcpy(id, op->row.id, sizeof(id));
    memcpy(parent, op->parent, sizeof(parent));
    rest(rd, id);
    rest(rd, parent);
    dt_op_answer(op, err);
    dt_op_free(op);
    wake(rd, id);
    wake(rd, parent);
}

/* --- third step: what came of it --- */

/* Other fields of the row may have been edited since the operation read it. */
static int take_edits(struct dt_db_conn *c, struct dt_sandbox_row *r, struct dt_err *err)
{
    struct dt_sandbox_row now;
    if (dt_store_sandbox_get(c, r->id, &now, err) < 0)
        return -1;
    free(now.error_reason);
    now.error_reason = dt_take(r->error_reason);
    now.state = r->state;
    now.desired = r->desired;
    now.res = r->res;
    now.lost = r->lost;
    now.updated_ms = r->updated_ms;
    now.activity_ms = r->activity_ms;
    dt_sandbox_row_done(r);
    *r = now;
    return 0;
}

/* An archive is a backup as long as there is no disk beside it. */
static void note_backup(const struct dt_op *op, struct dt_sandbox_row *r)
{
    if (op->kind == DT_OP_ARCHIVE && r->state == DT_SANDBOX_ARCHIVED) {
        r->backup = DT_BACKUP_COMPLETED;
        r->backup_ms = r->updated_ms;
    } else if (op->kind == DT_OP_ARCHIVE) {
        r->backup = op->err.code == DT_E_CANCELLED ? DT_BACKUP_NONE : DT_BACKUP_ERROR;
    } else if (op->kind == DT_OP_RESTORE && op->before.state == DT_SANDBOX_ARCHIVED &&
               r->state != DT_SANDBOX_ARCHIVED) {
        r->backup = DT_BACKUP_NONE;
        r->backup_ms = 0;
    }
}

static int end_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct dt_op *op = arg;
    struct dt_sandbox_row *r = &op->row;
    if (take_edits(c, r, err) < 0)
        return -1;
    note_backup(op, r);
    if (r->state == DT_SANDBOX_DESTROYED) {
        char name[NAME_ROOM];
        (void)snprintf(name, sizeof(name), "DESTROYED_%s_%" PRId64, r->name, r->updated_ms);
        if (dt_op_set_text(&r->name, name) < 0)
            return dt_err_set(err, DT_E_NOMEM, "sandbox");
    }
    return dt_store_sandbox_move(c, r, err) < 0 ? -1 : dt_op_log(c, op, err);
}

static void end_done(void *arg, const struct dt_err *err)
{
    struct dt_op *op = arg;
    if (err != NULL) {
        dt_op_over(op, err);
        return;
    }
    (void)dt_lifecycle_show(op->rd, &op->row);
    dt_op_over(op, op->failed ? &op->err : NULL);
}

void dt_op_end(struct dt_op *op)
{
    struct dt_err err;
    if (dt_db_submit(op->rd->db, end_job, op, end_done, &err) < 0)
        dt_op_over(op, &err);
}

void dt_op_fail(struct dt_op *op, enum dt_sandbox_state state, enum dt_sandbox_desired desired,
                const struct dt_err *why)
{
    op->failed = true;
    op->err = *why;
    dt_op_set_state(&op->row, state, desired);
    if ((dt_op_kinds[op->kind].flags & DT_OP_OUTSIDE) == 0 && why->code != DT_E_CANCELLED)
        (void)dt_op_set_text(&op->row.error_reason, why->msg);
    dt_op_end(op);
}

/* --- first step: say what is about to happen --- */

/* A new one's part of the quota passes to its entry. */
static void pass_on(struct dt_op *op)
{
    struct dt_live *l = dt_live_add(&op->rd->live, op->row.id, op->row.org, op->row.name);
    if (l == NULL)
        return;
    l->held = op->held;
    op->held = (struct dt_resources){0};
}

void dt_op_begun(void *arg, const struct dt_err *err)
{
    struct dt_op *op = arg;
    if (err != NULL) {
        dt_op_over(op, err);
        return;
    }
    if (op->kind == DT_OP_CREATE || op->kind == DT_OP_FORK)
        pass_on(op);
    struct dt_live *l = dt_lifecycle_show(op->rd, &op->row);
    if (l != NULL)
        l->busy = true;
    if (l != NULL && op->kind == DT_OP_DESTROY)
        dt_lifecycle_hold(op->rd, l);
    if ((dt_op_kinds[op->kind].flags & DT_OP_EARLY) != 0)
        dt_op_answer(op, NULL);
    dt_op_launch(op);
}

static int begin_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct dt_op *op = arg;
    struct dt_sandbox_row row;
    if (dt_store_sandbox_get(c, op->row.id, &row, err) < 0)
        return -1;
    op->row = row;
    op->before.state = row.state;
    op->before.desired = row.desired;
    op->before.res = row.res;
    enum dt_sandbox_desired desired =
        op->kind == DT_OP_RESIZE ? row.desired : dt_op_kinds[op->kind].desired;
    dt_op_set_state(&op->row, dt_op_kinds[op->kind].during, desired);
    if (op->kind == DT_OP_START || op->kind == DT_OP_RESTORE) {
        op->row.starts++;
        (void)dt_op_set_text(&op->row.error_reason, NULL);
        if (dt_mounts_used(c, op->row.volumes, op->row.updated_ms, err) < 0)
            return -1;
    }
    if (op->kind == DT_OP_ARCHIVE) {
        op->row.backup = DT_BACKUP_IN_PROGRESS;
        (void)dt_op_set_text(&op->row.error_reason, NULL);
    }
    if (op->kind == DT_OP_RESIZE && op->target.cpu_millis > 0)
        op->row.res = op->target;
    return dt_store_sandbox_move(c, &op->row, err);
}

struct dt_op *dt_op_new(struct dt_runnerd *rd, enum dt_op_kind kind, dt_lifecycle_done *done,
                        void *ctx, struct dt_err *err)
{
    struct dt_op *op = calloc(1, sizeof(*op));
    if (op == NULL) {
        (void)dt_err_set(err, DT_E_NOMEM, "sandbox");
        return NULL;
    }
    op->rd = rd;
    op->kind = kind;
    op->lw_op = dt_op_kinds[kind].op;
    op->done = done;
    op->ctx = ctx;
    op->by_server = done == NULL;
    op->start_ns = dt_clock_ns();
    return op;
}

int dt_op_begin_reserved(struct dt_runnerd *rd, struct dt_live *l, struct dt_op *op,
                         struct dt_err *err)
{
    if (dt_db_submit(rd->db, begin_job, op, dt_op_begun, err) == 0) {
        l->busy = true;
        return 0;
    }
    dt_op_free(op);
    dt_lifecycle_hold(rd, l);
    return -1;
}

int dt_op_begin(struct dt_runnerd *rd, struct dt_live *l, enum dt_op_kind kind,
                dt_lifecycle_done *done, void *ctx, struct dt_err *err)
{
    struct dt_op *op = dt_op_new(rd, kind, done, ctx, err);
    if (op == NULL) {
        dt_lifecycle_hold(rd, l);
        return -1;
    }
    (void)snprintf(op->row.id, sizeof(op->row.id), "%s", l->id);
    return dt_op_begin_reserved(rd, l, op, err);
}
