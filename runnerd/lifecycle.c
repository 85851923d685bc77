#include "runnerd/lifecycle.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "runnerd/boot.h"
#include "runnerd/identity/quota.h"
#include "runnerd/mounts.h"
#include "runnerd/named_user.h"

enum { STOP_GRACE_MS = 5000, NAME_ROOM = 320, SHORT_MS = 60000, LONG_MS = 24 * 3600 * 1000 };

enum kind { CREATE, FORK, START, RESTORE, RESUME, PAUSE, STOP, DESTROY, ARCHIVE, RESIZE, KINDS };

/* How an operation differs from the others. */
enum {
    BOOTS = 1,    /* the launcher starts a toolbox, with its configuration */
    SPEC = 2,     /* it is told all that the sandbox has */
    EARLY = 4,    /* answered as soon as it is on its way */
    GONE_OK = 8,  /* no such sandbox: it is over */
    OUTSIDE = 16, /* its reason is not one of the sandbox's: the row does not keep it */
};

static const struct {
    const char *name;
    enum dt_sandbox_state during, after;
    enum dt_sandbox_desired desired;
    uint32_t op;
    uint64_t timeout_ms;
    unsigned flags;
} kinds[KINDS] = {
    [CREATE] = {"create", DT_SANDBOX_CREATING, DT_SANDBOX_STARTED, DT_DESIRED_STARTED, DT_LW_CREATE,
                SHORT_MS, BOOTS | SPEC},
    [FORK] = {"fork", DT_SANDBOX_CREATING, DT_SANDBOX_STARTED, DT_DESIRED_STARTED, DT_LW_FORK,
              LONG_MS, BOOTS | SPEC},
    [START] = {"start", DT_SANDBOX_STARTING, DT_SANDBOX_STARTED, DT_DESIRED_STARTED, DT_LW_START,
               SHORT_MS, BOOTS | SPEC},
    [RESTORE] = {"restore", DT_SANDBOX_RESTORING, DT_SANDBOX_STARTED, DT_DESIRED_STARTED,
                 DT_LW_RESTORE, LONG_MS, EARLY},
    [RESUME] = {"resume", DT_SANDBOX_RESUMING, DT_SANDBOX_STARTED, DT_DESIRED_STARTED, DT_LW_RESUME,
                SHORT_MS, OUTSIDE},
    [PAUSE] = {"pause", DT_SANDBOX_PAUSING, DT_SANDBOX_PAUSED, DT_DESIRED_PAUSED, DT_LW_PAUSE,
               SHORT_MS, OUTSIDE},
    [STOP] = {"stop", DT_SANDBOX_STOPPING, DT_SANDBOX_STOPPED, DT_DESIRED_STOPPED, DT_LW_STOP,
              STOP_GRACE_MS + SHORT_MS, EARLY | GONE_OK},
    [DESTROY] = {"destroy", DT_SANDBOX_DESTROYING, DT_SANDBOX_DESTROYED, DT_DESIRED_DESTROYED,
                 DT_LW_DESTROY, SHORT_MS, GONE_OK},
    [ARCHIVE] = {"archive", DT_SANDBOX_ARCHIVING, DT_SANDBOX_ARCHIVED, DT_DESIRED_ARCHIVED,
                 DT_LW_ARCHIVE, LONG_MS, EARLY},
    /* `after` and `desired` are what they were. */
    [RESIZE] = {"resize", DT_SANDBOX_RESIZING, DT_SANDBOX_STARTED, DT_DESIRED_STARTED, DT_LW_RESIZE,
                LONG_MS, SPEC | OUTSIDE},
};

/* One operation. The store's thread has `row` while a job runs, the loop has it otherwise. */
struct op {
    struct dt_runnerd *rd;
    enum kind kind;
    struct dt_sandbox_row row;
    dt_lifecycle_done *done;
    void *ctx;
    uint64_t start_ns;
    uint64_t launcher_ns; /* how long the launcher took */
    uint32_t lw_op;       /* what the launcher is asked: RESTORE goes on with START */
    struct {
        enum dt_sandbox_state state; /* a repair finds it on its way */
        enum dt_sandbox_desired desired;
        struct dt_resources res;
    } before;
    struct dt_resources target; /* RESIZE; 0 = what the row says */
    bool without_start;         /* RESTORE: it is enough that its files are back */
    /* CREATE and FORK */
    struct dt_resources held; /* until there is an entry that holds it */
    struct dt_create_limits limits;
    struct dt_resources most;
    /* CREATE only */
    char *snapshot, *user;
    json_t *env;
    struct dt_mounts *mounts;
    struct dt_create_ask ask;
    char parent[DT_UUID_SIZE]; /* FORK only */
    bool failed;               /* the launcher could not; `err` says why */
    struct dt_err err;
};

static void op_free(struct op *op)
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

static void op_answer(struct op *op, const struct dt_err *err)
{
    dt_lifecycle_done *done = op->done;
    op->done = NULL;
    if (done != NULL)
        done(op->ctx, &op->row, err);
}

static void hold(struct dt_runnerd *rd, struct dt_live *l)
{
    const struct dt_resources res = {l->cpu_millis, l->memory_mib, l->disk_mib};
    const struct dt_resources want =
        dt_resources_share(&res, dt_sandbox_shares(l->state, l->desired));
    dt_holdings_set(rd->holdings, l->org, &l->held, &want);
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

/* Nothing is done with it now. */
static void rest(struct dt_runnerd *rd, const char *id)
{
    struct dt_live *l = dt_live_by_id(&rd->live, id);
    if (l == NULL)
        return;
    l->busy = false;
    l->changed_ms = dt_clock_ms();
    hold(rd, l); /* also when nothing came of it */
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

static void wake(struct dt_runnerd *rd, const char *id)
{
    struct dt_live *l = dt_live_by_id(&rd->live, id);
    if (l != NULL)
        dt_lifecycle_wake(rd, l);
}

/* The end of every operation: log, answer, and what happened meanwhile. */
static void op_over(struct op *op, const struct dt_err *err)
{
    struct dt_runnerd *rd = op->rd;
    char ms[32], launcher_ms[32];
    (void)snprintf(launcher_ms, sizeof(launcher_ms), "%.2f", (double)op->launcher_ns / 1e6);
    (void)snprintf(ms, sizeof(ms), "%.2f", (double)(dt_clock_ns() - op->start_ns) / 1e6);
    dt_log(err == NULL ? DT_LOG_INFO : DT_LOG_WARN, "sandbox", "op", kinds[op->kind].name,
           "sandbox", op->row.id, "state", dt_sandbox_state_text(op->row.state), "ms", ms,
           "launcherMs", launcher_ms, "err", err == NULL ? NULL : err->msg, NULL);
    char id[DT_UUID_SIZE], parent[DT_UUID_SIZE];
    memcpy(id, op->row.id, sizeof(id));
    memcpy(parent, op->parent, sizeof(parent));
    rest(rd, id);
    rest(rd, parent);
    op_answer(op, err);
    op_free(op);
    wake(rd, id);
    wake(rd, parent);
}

struct dt_live *dt_lifecycle_show(struct dt_runnerd *rd, const struct dt_sandbox_row *row)
{
    struct dt_live *l = dt_live_by_id(&rd->live, row->id);
    if (rd->on_change != NULL)
        rd->on_change(rd, row->org, row->id);
    if (row->state == DT_SANDBOX_DESTROYED) {
        if (l != NULL) {
            const struct dt_resources none = {0};
            dt_holdings_set(rd->holdings, l->org, &l->held, &none);
            dt_live_remove(&rd->live, l);
        }
        dt_signed_sweep(&rd->signed_urls, row->id, 0);
        return NULL;
    }
    if (l == NULL)
        l = dt_live_add(&rd->live, row->id, row->org, row->name);
    if (l == NULL)
        return NULL;
    if (row->state != DT_SANDBOX_STARTED)
        dt_upstreams_close(l);
    l->state = row->state;
    l->desired = row->desired;
    if (l->token[0] == '\0' || l->starts != row->starts)
        dt_preview_token(rd->secret, l->id, row->starts, l->token);
    l->starts = row->starts;
    l->is_public = row->is_public;
    l->cpu_millis = row->res.cpu_millis;
    l->memory_mib = row->res.memory_mib;
    l->disk_mib = row->res.disk_mib;
    l->backup = row->backup;
    l->backup_ms = row->backup_ms;
    l->lost = row->lost;
    if (l->starts != row->starts)
        l->cpu_ms = 0;
    l->timers.auto_stop_min = row->auto_stop;
    l->timers.auto_archive_min = row->auto_archive;
    l->timers.auto_delete_min = row->auto_delete;
    if (row->activity_ms > l->timers.activity_ms)
        l->timers.activity_ms = row->activity_ms;
    if (!l->busy)
        hold(rd, l);
    dt_live_changed(l);
    return l;
}

static int set_text(char **at, const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    if (text != NULL && copy == NULL)
        return -1;
    free(*at);
    *at = copy;
    return 0;
}

static void set_state(struct dt_sandbox_row *r, enum dt_sandbox_state state,
                      enum dt_sandbox_desired desired)
{
    r->state = state;
    r->desired = desired;
    r->updated_ms = dt_clock_real_ms();
    r->activity_ms = r->updated_ms;
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
static void note_backup(const struct op *op, struct dt_sandbox_row *r)
{
    if (op->kind == ARCHIVE && r->state == DT_SANDBOX_ARCHIVED) {
        r->backup = DT_BACKUP_COMPLETED;
        r->backup_ms = r->updated_ms;
    } else if (op->kind == ARCHIVE) {
        r->backup = op->err.code == DT_E_CANCELLED ? DT_BACKUP_NONE : DT_BACKUP_ERROR;
    } else if (op->kind == RESTORE && op->before.state == DT_SANDBOX_ARCHIVED &&
               r->state != DT_SANDBOX_ARCHIVED) {
        r->backup = DT_BACKUP_NONE;
        r->backup_ms = 0;
    }
}

static int end_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct op *op = arg;
    struct dt_sandbox_row *r = &op->row;
    if (take_edits(c, r, err) < 0)
        return -1;
    note_backup(op, r);
    if (r->state == DT_SANDBOX_DESTROYED) {
        char name[NAME_ROOM];
        (void)snprintf(name, sizeof(name), "DESTROYED_%s_%" PRId64, r->name, r->updated_ms);
        if (set_text(&r->name, name) < 0)
            return dt_err_set(err, DT_E_NOMEM, "sandbox");
    }
    return dt_store_sandbox_move(c, r, err);
}

static void end_done(void *arg, const struct dt_err *err)
{
    struct op *op = arg;
    if (err != NULL) {
        op_over(op, err);
        return;
    }
    (void)dt_lifecycle_show(op->rd, &op->row);
    op_over(op, op->failed ? &op->err : NULL);
}

static void op_end(struct op *op)
{
    struct dt_err err;
    if (dt_db_submit(op->rd->db, end_job, op, end_done, &err) < 0)
        op_over(op, &err);
}

static void op_fail(struct op *op, enum dt_sandbox_state state, enum dt_sandbox_desired desired,
                    const struct dt_err *why)
{
    op->failed = true;
    op->err = *why;
    set_state(&op->row, state, desired);
    if ((kinds[op->kind].flags & OUTSIDE) == 0 && why->code != DT_E_CANCELLED)
        (void)set_text(&op->row.error_reason, why->msg);
    op_end(op);
}

/* Where it is when what is wanted is so. */
static enum dt_sandbox_state resting(enum dt_sandbox_desired d)
{
    return d == DT_DESIRED_STOPPED  ? DT_SANDBOX_STOPPED
           : d == DT_DESIRED_PAUSED ? DT_SANDBOX_PAUSED
                                    : DT_SANDBOX_STARTED;
}

static void op_fail_back(struct op *op, const struct dt_err *why)
{
    op->row.res = op->before.res;
    op_fail(op, resting(op->before.desired), op->before.desired, why);
}

/* --- second step: the launcher --- */

static void on_cleaned(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct op *op = ctx;
    struct dt_err why;
    if (a != NULL && (dt_launcher_result(a, &why) == 0 || a->result == DT_LW_NOT_FOUND)) {
        set_state(&op->row, DT_SANDBOX_DESTROYED, DT_DESIRED_DESTROYED);
        op_end(op);
        return;
    }
    /* The row stays as it is; reconciliation tries again. */
    op_over(op, err != NULL ? err : &op->err);
}

/* A sandbox that could not be made leaves nothing behind. */
static void clean_up(struct op *op, const struct dt_err *why)
{
    struct dt_lw_request r = {.op = DT_LW_DESTROY};
    struct dt_err err;
    op->failed = true;
    op->err = *why;
    if (why->code == DT_E_SYSTEM || why->code == DT_E_TIMEOUT)
        op->err.code = DT_E_SYSTEM;
    (void)dt_err_wrap(&op->err, "Sandbox failed to start");
    (void)set_text(&op->row.error_reason, op->err.msg);
    (void)dt_uuid_bytes(op->row.id, r.id);
    if (dt_launcher_client_call(op->rd->launcher, &r, -1, kinds[DESTROY].timeout_ms, on_cleaned, op,
                                &err) < 0)
        op_over(op, &op->err);
}

/* As far as it came. */
static void restore_failed(struct op *op, const struct dt_err *why)
{
    if (op->lw_op == DT_LW_START)
        op_fail(op, DT_SANDBOX_STOPPED, DT_DESIRED_STOPPED, why);
    else if (why->code == DT_E_NOT_FOUND || op->before.state == DT_SANDBOX_ERROR) {
        op->row.lost = op->row.lost || why->code == DT_E_NOT_FOUND;
        op_fail(op, DT_SANDBOX_ERROR, DT_DESIRED_STOPPED, why);
    } else
        op_fail(op, DT_SANDBOX_ARCHIVED, DT_DESIRED_ARCHIVED, why);
}

static void launcher_failed(struct op *op, const struct dt_err *why)
{
    switch (op->kind) {
    case CREATE:
    case FORK:
        clean_up(op, why);
        break;
    case START:
    case ARCHIVE:
        op_fail(op, DT_SANDBOX_STOPPED, DT_DESIRED_STOPPED, why);
        break;
    case RESTORE:
        restore_failed(op, why);
        break;
    case RESUME:
    case PAUSE:
    case RESIZE:
        op_fail_back(op, why);
        break;
    case STOP:
    case DESTROY:
        op_fail(op, DT_SANDBOX_ERROR, op->row.desired, why);
        break;
    case KINDS:
        break;
    }
}

static void op_worked(struct op *op)
{
    if (op->kind == RESIZE)
        set_state(&op->row, resting(op->row.desired), op->row.desired);
    else
        set_state(&op->row, kinds[op->kind].after, kinds[op->kind].desired);
    op_end(op);
}

static void on_user(void *ctx, const struct dt_err *err)
{
    struct op *op = ctx;
    if (err == NULL)
        op_worked(op);
    else if (err->code == DT_E_CANCELLED)
        op_over(op, err); /* the program ends: the next one compares */
    else
        launcher_failed(op, err);
}

static int call_launcher(struct op *op, struct dt_err *err);

/* The files are back, or were never away: now it starts. */
static bool goes_on(struct op *op)
{
    struct dt_err why;
    if (op->kind != RESTORE || op->lw_op == DT_LW_START)
        return false;
    if (op->without_start) {
        set_state(&op->row, DT_SANDBOX_STOPPED, DT_DESIRED_STOPPED);
        op_end(op);
        return true;
    }
    op->lw_op = DT_LW_START;
    if (call_launcher(op, &why) < 0)
        launcher_failed(op, &why);
    return true;
}

static void on_launcher(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct op *op = ctx;
    struct dt_err why;
    op->launcher_ns = dt_clock_ns() - op->launcher_ns;
    if (a == NULL && err->code == DT_E_UNAVAILABLE) {
        /* Nobody knows what happened: the next comparison with the launcher finds out. */
        op_over(op, err);
        return;
    }
    unsigned flags = kinds[op->kind].flags;
    bool fine = a != NULL && ((a->result == DT_LW_NOT_FOUND && (flags & GONE_OK) != 0) ||
                              (a->result == DT_LW_EXISTS && op->lw_op == DT_LW_RESTORE));
    if (a == NULL)
        why = *err;
    if (a == NULL || (!fine && dt_launcher_result(a, &why) < 0)) {
        launcher_failed(op, &why);
        return;
    }
    op->row.lost = false;
    if (goes_on(op))
        return;
    bool booted = (flags & BOOTS) != 0 || op->kind == RESTORE;
    if (!booted || !dt_named_user_is_set(&op->row))
        op_worked(op);
    else if (dt_named_user_ask(op->rd, &op->row, on_user, op, &why) < 0)
        launcher_failed(op, &why);
}

static int call_launcher(struct op *op, struct dt_err *err)
{
    struct dt_runnerd *rd = op->rd;
    unsigned flags = op->lw_op == DT_LW_START ? BOOTS | SPEC : kinds[op->kind].flags;
    uint64_t timeout_ms = op->lw_op == DT_LW_START ? SHORT_MS : kinds[op->kind].timeout_ms;
    struct dt_lw_request r = {.op = op->lw_op};
    DT_AUTO_FD int fd = -1;
    if ((flags & BOOTS) != 0) {
        uint32_t resolver = rd->hello.has_network ? rd->hello.network_base + 1 : 0;
        fd = dt_boot_memfd(&op->row, resolver, err);
        if (fd < 0)
            return -1;
    }
    if ((flags & SPEC) != 0) {
        if (dt_boot_request(&op->row, r.op, &r, err) < 0)
            return -1;
    } else {
        (void)dt_uuid_bytes(op->row.id, r.id);
    }
    r.grace_ms = op->kind == STOP ? STOP_GRACE_MS : 0;
    if (op->kind == FORK)
        (void)dt_uuid_bytes(op->parent, r.other);
    op->launcher_ns = dt_clock_ns();
    return dt_launcher_client_call(rd->launcher, &r, fd, timeout_ms, on_launcher, op, err);
}

/* --- first step: say what is about to happen --- */

/* A new one's part of the quota passes to its entry. */
static void pass_on(struct op *op)
{
    struct dt_live *l = dt_live_add(&op->rd->live, op->row.id, op->row.org, op->row.name);
    if (l == NULL)
        return;
    l->held = op->held;
    op->held = (struct dt_resources){0};
}

static void begin_done(void *arg, const struct dt_err *err)
{
    struct op *op = arg;
    struct dt_err why;
    if (err != NULL) {
        op_over(op, err);
        return;
    }
    if (op->kind == CREATE || op->kind == FORK)
        pass_on(op);
    struct dt_live *l = dt_lifecycle_show(op->rd, &op->row);
    if (l != NULL)
        l->busy = true;
    if (l != NULL && op->kind == DESTROY)
        hold(op->rd, l);
    if ((kinds[op->kind].flags & EARLY) != 0)
        op_answer(op, NULL);
    if (call_launcher(op, &why) < 0)
        launcher_failed(op, &why);
}

static int begin_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct op *op = arg;
    struct dt_sandbox_row row;
    if (dt_store_sandbox_get(c, op->row.id, &row, err) < 0)
        return -1;
    op->row = row;
    op->before.state = row.state;
    op->before.desired = row.desired;
    op->before.res = row.res;
    enum dt_sandbox_desired desired = op->kind == RESIZE ? row.desired : kinds[op->kind].desired;
    set_state(&op->row, kinds[op->kind].during, desired);
    if (op->kind == START || op->kind == RESTORE) {
        op->row.starts++;
        (void)set_text(&op->row.error_reason, NULL);
        if (dt_mounts_used(c, op->row.volumes, op->row.updated_ms, err) < 0)
            return -1;
    }
    if (op->kind == ARCHIVE) {
        op->row.backup = DT_BACKUP_IN_PROGRESS;
        (void)set_text(&op->row.error_reason, NULL);
    }
    if (op->kind == RESIZE && op->target.cpu_millis > 0)
        op->row.res = op->target;
    return dt_store_sandbox_move(c, &op->row, err);
}

static struct op *op_new(struct dt_runnerd *rd, enum kind kind, dt_lifecycle_done *done, void *ctx,
                         struct dt_err *err)
{
    struct op *op = calloc(1, sizeof(*op));
    if (op == NULL) {
        (void)dt_err_set(err, DT_E_NOMEM, "sandbox");
        return NULL;
    }
    op->rd = rd;
    op->kind = kind;
    op->lw_op = kinds[kind].op;
    op->done = done;
    op->ctx = ctx;
    op->start_ns = dt_clock_ns();
    return op;
}

static int begin_reserved(struct dt_runnerd *rd, struct dt_live *l, struct op *op,
                          struct dt_err *err)
{
    if (dt_db_submit(rd->db, begin_job, op, begin_done, err) == 0) {
        l->busy = true;
        return 0;
    }
    op_free(op);
    hold(rd, l);
    return -1;
}

static int op_begin(struct dt_runnerd *rd, struct dt_live *l, enum kind kind,
                    dt_lifecycle_done *done, void *ctx, struct dt_err *err)
{
    struct op *op = op_new(rd, kind, done, ctx, err);
    if (op == NULL) {
        hold(rd, l);
        return -1;
    }
    (void)snprintf(op->row.id, sizeof(op->row.id), "%s", l->id);
    return begin_reserved(rd, l, op, err);
}

/* --- create --- */

static int snapshot_of(struct dt_db_conn *c, const char *name, struct dt_snapshot_row *ret,
                       struct dt_err *err)
{
    struct dt_err why;
    if (dt_store_snapshot_get(c, name, ret, &why) == 0)
        return 0;
    if (why.code == DT_E_NOT_FOUND)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Snapshot %s not found. Add it with `daytona-runnerd snapshot import %s "
                          "FILE`; GET /api/snapshots lists those there are",
                          name, name);
    *err = why;
    return -1;
}

static int create_with(struct op *op, struct dt_db_conn *c, const struct dt_snapshot_row *snapshot,
                       const struct dt_snapshot_row *tools, struct dt_err *err)
{
    struct dt_cidr cidrs[DT_CIDRS_MAX];
    int ncidrs;
    struct dt_sandbox_row *r = &op->row;
    if (dt_create_check(&op->ask, &op->limits, &snapshot->res, &r->res, cidrs, &ncidrs, err) < 0 ||
        dt_holdings_try(op->rd->holdings, r->org, &op->held, &r->res, &op->most, err) < 0 ||
        dt_boot_make(r, snapshot, tools, op->user, op->env, err) < 0 ||
        dt_mounts_resolve(c, r->org, op->mounts, r->created_ms, &r->volumes, err) < 0)
        return -1;
    if (set_text(&r->snapshot, snapshot->name) < 0)
        return dt_err_set(err, DT_E_NOMEM, "sandbox");
    if (dt_db_run(c,
                  "UPDATE snapshot SET last_used_ms = ?2 WHERE id = ?1 AND "
                  "coalesce(last_used_ms, 0) < ?2 - 60000",
                  DT_DB_ARGS(dt_db_t(snapshot->id), dt_db_i(r->created_ms)), NULL, err) < 0)
        return -1;
    return dt_store_sandbox_insert(c, r, err);
}

static int create_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct op *op = arg;
    struct dt_snapshot_row snapshot = {0}, tools = {0};
    struct dt_err none;
    if (snapshot_of(c, op->snapshot, &snapshot, err) < 0)
        return -1;
    bool has_tools = dt_store_snapshot_get(c, ".tools", &tools, &none) == 0;
    int result = create_with(op, c, &snapshot, has_tools ? &tools : NULL, err);
    dt_snapshot_row_done(&snapshot);
    dt_snapshot_row_done(&tools);
    return result;
}

static char *json_text(const json_t *object, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, DT_BOOT_MAX);
    if (object == NULL)
        return strdup("{}");
    if (dt_json_write(object, &b, err) < 0)
        return NULL;
    return dt_buf_take(&b);
}

/* Everything of the request that the store's thread needs is copied. */
static int fill_create(struct op *op, const struct dt_create *in, struct dt_err *err)
{
    struct dt_sandbox_row *r = &op->row;
    dt_rand_uuid(r->id);
    (void)snprintf(r->org, sizeof(r->org), "%s", in->org);
    set_state(r, DT_SANDBOX_CREATING, DT_DESIRED_STARTED);
    r->created_ms = r->updated_ms;
    r->is_public = in->is_public;
    r->block_all = in->ask.block_all;
    r->auto_stop = in->auto_stop;
    r->auto_archive = in->auto_archive;
    r->auto_delete = in->auto_delete;
    r->starts = 1;
    op->ask = in->ask;
    op->ask.allow_list = NULL;
    op->env = json_incref(in->env);
    if (dt_mounts_new(in->volumes, &op->mounts, err) < 0)
        return -1;
    r->env = json_text(in->env, err);
    r->labels = json_text(in->labels, err);
    const char *list = in->ask.allow_list;
    char *allow_list = list != NULL ? strdup(list) : NULL;
    op->ask.allow_list = allow_list;
    if (r->env == NULL || r->labels == NULL || (list != NULL && allow_list == NULL) ||
        set_text(&r->name, in->name != NULL ? in->name : r->id) < 0 ||
        set_text(&r->allow_list, list) < 0 || set_text(&r->target, in->target) < 0 ||
        set_text(&r->class_name, in->class_name) < 0 || set_text(&op->user, in->user) < 0 ||
        set_text(&op->snapshot, in->snapshot) < 0)
        return dt_err_set(err, DT_E_NOMEM, "sandbox");
    return 0;
}

static void quotas_of(const struct dt_runnerd *rd, const char *org, struct dt_create_limits *each,
                      struct dt_resources *all)
{
    int64_t quotas[DT_QUOTAS];
    dt_quotas_of(rd->config, dt_directory_org(&rd->directory, org), quotas);
    *each = (struct dt_create_limits){quotas[DT_QUOTA_MAX_CPU], quotas[DT_QUOTA_MAX_MEMORY],
                                      quotas[DT_QUOTA_MAX_DISK]};
    *all = (struct dt_resources){quotas[DT_QUOTA_TOTAL_CPU] * 1000,
                                 quotas[DT_QUOTA_TOTAL_MEMORY] * 1024,
                                 quotas[DT_QUOTA_TOTAL_DISK] * 1024};
}

static int check_up(const struct dt_runnerd *rd, struct dt_err *err)
{
    if (dt_launcher_client_is_up(rd->launcher))
        return 0;
    return dt_err_set(err, DT_E_UNAVAILABLE,
                      "the launcher (daytona-launcher) cannot be reached: try again soon");
}

int dt_lifecycle_create(struct dt_runnerd *rd, const struct dt_create *in, dt_lifecycle_done *done,
                        void *ctx, struct dt_err *err)
{
    if (check_up(rd, err) < 0)
        return -1;
    struct op *op = op_new(rd, CREATE, done, ctx, err);
    if (op == NULL)
        return -1;
    quotas_of(rd, in->org, &op->limits, &op->most);
    if (fill_create(op, in, err) < 0 || dt_db_submit(rd->db, create_job, op, begin_done, err) < 0) {
        op_free(op);
        return -1;
    }
    return 0;
}

/* --- fork --- */

static int fork_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct op *op = arg;
    struct dt_sandbox_row parent = {0};
    struct dt_sandbox_row *r = &op->row;
    if (dt_store_sandbox_get(c, op->parent, &parent, err) < 0)
        return -1;
    int rc = dt_boot_fork(r, &parent, err);
    dt_sandbox_row_done(&parent);
    if (rc < 0 || dt_holdings_try(op->rd->holdings, r->org, &op->held, &r->res, &op->most, err) < 0)
        return -1;
    set_state(r, DT_SANDBOX_CREATING, DT_DESIRED_STARTED);
    r->created_ms = r->updated_ms;
    if (dt_mounts_used(c, r->volumes, r->created_ms, err) < 0)
        return -1;
    return dt_store_sandbox_insert(c, r, err);
}

int dt_lifecycle_fork(struct dt_runnerd *rd, struct dt_live *parent, const char *name,
                      dt_lifecycle_done *done, void *ctx, struct dt_err *err)
{
    const struct dt_sandbox_now now = dt_lifecycle_now(parent);
    if (dt_sandbox_check_call(DT_CALL_FORK, &now, err) < 0 || check_up(rd, err) < 0)
        return -1;
    struct op *op = op_new(rd, FORK, done, ctx, err);
    if (op == NULL)
        return -1;
    quotas_of(rd, parent->org, &op->limits, &op->most);
    (void)snprintf(op->parent, sizeof(op->parent), "%s", parent->id);
    (void)snprintf(op->row.org, sizeof(op->row.org), "%s", parent->org);
    dt_rand_uuid(op->row.id);
    if ((set_text(&op->row.name, name != NULL ? name : op->row.id) < 0 &&
         dt_err_set(err, DT_E_NOMEM, "sandbox")) ||
        dt_db_submit(rd->db, fork_job, op, begin_done, err) < 0) {
        op_free(op);
        return -1;
    }
    parent->busy = true; /* it may not end before it is copied */
    return 0;
}

/* --- start, stop, destroy, and what nobody asked for --- */

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

static enum kind kind_of(enum dt_sandbox_call call, const struct dt_live *l)
{
    static const enum kind of_call[DT_CALL_COUNT] = {
        [DT_CALL_START] = START,     [DT_CALL_STOP] = STOP,   [DT_CALL_DELETE] = DESTROY,
        [DT_CALL_ARCHIVE] = ARCHIVE, [DT_CALL_PAUSE] = PAUSE,
    };
    if (call == DT_CALL_STOP && l->timers.auto_delete_min == 0)
        return DESTROY;
    if (call == DT_CALL_START && l->state == DT_SANDBOX_ARCHIVED)
        return RESTORE;
    if (call == DT_CALL_START && l->state == DT_SANDBOX_PAUSED)
        return RESUME;
    return of_call[call];
}

/* Before anything begins, what it will take is taken. */
static int reserve(struct dt_runnerd *rd, struct dt_live *l, enum kind kind,
                   const struct dt_resources *res, enum dt_sandbox_desired desired,
                   struct dt_err *err)
{
    struct dt_create_limits each;
    struct dt_resources most;
    quotas_of(rd, l->org, &each, &most);
    const struct dt_resources want =
        dt_resources_share(res, dt_sandbox_shares(kinds[kind].during, desired));
    return dt_holdings_try(rd->holdings, l->org, &l->held, &want, &most, err);
}

int dt_lifecycle_recover(struct dt_runnerd *rd, struct dt_live *l, bool start,
                         dt_lifecycle_done *done, void *ctx, struct dt_err *err)
{
    const struct dt_sandbox_now now = dt_lifecycle_now(l);
    const struct dt_resources res = {l->cpu_millis, l->memory_mib, l->disk_mib};
    if (dt_sandbox_check_call(DT_CALL_RECOVER, &now, err) < 0 || check_up(rd, err) < 0 ||
        reserve(rd, l, RESTORE, &res, DT_DESIRED_STARTED, err) < 0)
        return -1;
    struct op *op = op_new(rd, RESTORE, done, ctx, err);
    if (op == NULL) {
        hold(rd, l);
        return -1;
    }
    (void)snprintf(op->row.id, sizeof(op->row.id), "%s", l->id);
    op->without_start = !start;
    return begin_reserved(rd, l, op, err);
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
    if (dt_launcher_client_call(rd->launcher, &r, -1, SHORT_MS, on_cancelled, rd, err) < 0)
        return -1;
    l->next_done = done;
    l->next_ctx = ctx;
    return 0;
}

int dt_lifecycle_change(struct dt_runnerd *rd, struct dt_live *l, enum dt_sandbox_call call,
                        dt_lifecycle_done *done, void *ctx, bool *already, struct dt_err *err)
{
    const struct dt_sandbox_now now = dt_lifecycle_now(l);
    *already = false;
    if (call == DT_CALL_START && l->state == DT_SANDBOX_ARCHIVING && l->busy &&
        l->next_done == NULL)
        return start_after(rd, l, done, ctx, err);
    int go = dt_sandbox_check_call(call, &now, err);
    *already = go == 0;
    if (go <= 0)
        return go;
    if (check_up(rd, err) < 0)
        return -1;
    enum kind kind = kind_of(call, l);
    const struct dt_resources res = {l->cpu_millis, l->memory_mib, l->disk_mib};
    if ((kind == START || kind == RESTORE || kind == RESUME) &&
        reserve(rd, l, kind, &res, kinds[kind].desired, err) < 0)
        return -1;
    return op_begin(rd, l, kind, done, ctx, err);
}

int dt_lifecycle_resize(struct dt_runnerd *rd, struct dt_live *l, const struct dt_resize_ask *ask,
                        dt_lifecycle_done *done, void *ctx, bool *already, struct dt_err *err)
{
    const struct dt_sandbox_now now = dt_lifecycle_now(l);
    const struct dt_resources has = {l->cpu_millis, l->memory_mib, l->disk_mib};
    struct dt_create_limits each;
    struct dt_resources most, want;
    quotas_of(rd, l->org, &each, &most);
    *already = false;
    if (dt_sandbox_check_call(DT_CALL_RESIZE, &now, err) < 0 ||
        dt_resize_check(ask, &each, &has, l->state == DT_SANDBOX_STARTED, &want, err) < 0 ||
        check_up(rd, err) < 0)
        return -1;
    *already = dt_resources_equal(&has, &want);
    if (*already)
        return 0;
    if (reserve(rd, l, RESIZE, &want, l->desired, err) < 0)
        return -1;
    struct op *op = op_new(rd, RESIZE, done, ctx, err);
    if (op == NULL) {
        hold(rd, l);
        return -1;
    }
    (void)snprintf(op->row.id, sizeof(op->row.id), "%s", l->id);
    op->target = want;
    return begin_reserved(rd, l, op, err);
}

/* A row that only has to say what is so already. */
struct note {
    struct dt_runnerd *rd;
    struct dt_sandbox_row row;
    enum dt_sandbox_state state;
    enum dt_sandbox_desired desired;
    bool lost;
    char reason[256];
};

static int note_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct note *n = arg;
    struct dt_sandbox_row row;
    if (dt_store_sandbox_get(c, n->row.id, &row, err) < 0)
        return -1;
    n->row = row;
    set_state(&n->row, n->state, n->desired);
    n->row.lost = n->lost;
    if (set_text(&n->row.error_reason, n->reason[0] != '\0' ? n->reason : NULL) < 0)
        return dt_err_set(err, DT_E_NOMEM, "sandbox");
    return dt_store_sandbox_move(c, &n->row, err);
}

static void note_done(void *arg, const struct dt_err *err)
{
    struct note *n = arg;
    struct dt_live *l = dt_live_by_id(&n->rd->live, n->row.id);
    if (l != NULL) {
        l->busy = false;
        l->changed_ms = dt_clock_ms();
    }
    dt_log(err == NULL ? DT_LOG_INFO : DT_LOG_ERROR, "sandbox changed by itself", "sandbox",
           n->row.id, "state", dt_sandbox_state_text(n->state), "reason",
           n->reason[0] != '\0' ? n->reason : NULL, "err", err == NULL ? NULL : err->msg, NULL);
    l = err == NULL ? dt_lifecycle_show(n->rd, &n->row) : NULL;
    if (l != NULL && n->state == DT_SANDBOX_STOPPED && n->row.auto_delete == 0)
        dt_lifecycle_repair(n->rd, l, DT_REPAIR_DESTROY, NULL);
    dt_sandbox_row_done(&n->row);
    free(n);
}

static void note(struct dt_runnerd *rd, struct dt_live *l, enum dt_sandbox_state state,
                 enum dt_sandbox_desired desired, const char *reason)
{
    struct dt_err err;
    struct note *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return;
    n->rd = rd;
    n->state = state;
    n->desired = desired;
    n->lost = state == DT_SANDBOX_ERROR; /* the only reason for a note of that */
    (void)snprintf(n->row.id, sizeof(n->row.id), "%s", l->id);
    (void)snprintf(n->reason, sizeof(n->reason), "%s", reason != NULL ? reason : "");
    if (dt_db_submit(rd->db, note_job, n, note_done, &err) < 0)
        free(n); /* the next comparison finds the difference again */
    else
        l->busy = true;
}

void dt_lifecycle_repair(struct dt_runnerd *rd, struct dt_live *l, enum dt_sandbox_repair what,
                         const char *reason)
{
    struct dt_err err;
    int begun = 0;
    switch (what) {
    case DT_REPAIR_KEEP:
        break;
    case DT_REPAIR_STARTED:
        note(rd, l, DT_SANDBOX_STARTED, DT_DESIRED_STARTED, NULL);
        break;
    case DT_REPAIR_STOPPED:
        note(rd, l, DT_SANDBOX_STOPPED, DT_DESIRED_STOPPED, reason);
        break;
    case DT_REPAIR_PAUSED:
        note(rd, l, DT_SANDBOX_PAUSED, DT_DESIRED_PAUSED, NULL);
        break;
    case DT_REPAIR_ARCHIVED:
        note(rd, l, DT_SANDBOX_ARCHIVED, DT_DESIRED_ARCHIVED, NULL);
        break;
    case DT_REPAIR_LOST:
        note(rd, l, DT_SANDBOX_ERROR, l->desired,
             l->backup_ms > 0 ? "the sandbox's files are gone: recover it from its backup, or "
                                "destroy it"
                              : "the sandbox's files are gone: destroy it");
        break;
    case DT_REPAIR_ARCHIVE:
        begun = op_begin(rd, l, ARCHIVE, NULL, NULL, &err);
        break;
    case DT_REPAIR_RESIZE:
        begun = op_begin(rd, l, RESIZE, NULL, NULL, &err);
        break;
    case DT_REPAIR_STOP:
        begun = op_begin(rd, l, STOP, NULL, NULL, &err);
        break;
    case DT_REPAIR_DESTROY:
        begun = op_begin(rd, l, DESTROY, NULL, NULL, &err);
        break;
    }
    if (begun < 0)
        dt_log(DT_LOG_WARN, "cannot repair", "sandbox", l->id, "err", err.msg, NULL);
}

void dt_lifecycle_exited(struct dt_runnerd *rd, const struct dt_lw_answer *event)
{
    char id[DT_UUID_SIZE], reason[160];
    dt_uuid_text(event->id, id);
    struct dt_live *l = dt_live_by_id(&rd->live, id);
    if (l == NULL)
        return;
    dt_upstreams_close(l);
    if (l->busy) {
        l->exited = true;
        l->oom = event->oom != 0;
        l->exit_status = event->status;
        return;
    }
    if (l->state != DT_SANDBOX_STARTED && l->state != DT_SANDBOX_PAUSED)
        return;
    if (event->oom != 0)
        (void)snprintf(reason, sizeof(reason),
                       "the sandbox ran out of memory (%" PRId64 " MiB) and was stopped: start it "
                       "again, or create one with more memory",
                       l->memory_mib);
    else
        (void)snprintf(reason, sizeof(reason), "the sandbox ended by itself (status %d)",
                       event->status);
    note(rd, l, DT_SANDBOX_STOPPED, DT_DESIRED_STOPPED, reason);
}
