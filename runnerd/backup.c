#include "runnerd/backup.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "runnerd/boot.h"
#include "runnerd/store_log.h"

enum { LONG_MS = 24 * 3600 * 1000 };

struct backup {
    struct dt_runnerd *rd;
    struct dt_sandbox_row row; /* as it was before */
    dt_lifecycle_done *done;
    void *ctx;
    bool by_server; /* nobody asked for it */
    enum dt_backup_state state;
    int64_t made_ms;
    struct dt_err why; /* it failed */
};

static void answer(struct backup *b, const struct dt_err *err)
{
    dt_lifecycle_done *done = b->done;
    b->done = NULL;
    if (done != NULL)
        done(b->ctx, &b->row, err);
}

static void show(const struct backup *b, bool over)
{
    struct dt_live *l = dt_live_by_id(&b->rd->live, b->row.id);
    if (l == NULL)
        return;
    l->backup = b->state;
    if (b->made_ms > 0)
        l->backup_ms = b->made_ms;
    if (over)
        l->backing_up = false;
    dt_live_changed(l);
    if (b->rd->on_change != NULL)
        b->rd->on_change(b->rd, l->org, l->id);
}

static void over(struct backup *b, const struct dt_err *err)
{
    answer(b, err);
    show(b, true);
    dt_sandbox_row_done(&b->row);
    free(b);
}

/* One that is put off will be made soon, and is nothing to tell. */
static int log_end(struct dt_db_conn *c, const struct backup *b, struct dt_err *err)
{
    char body[DT_LOG_BODY_MAX];
    bool made = b->state == DT_BACKUP_COMPLETED;
    (void)snprintf(body, sizeof(body), "%s%s",
                   made ? "backed up" : "backup failed: ", made ? "" : b->why.msg);
    const struct dt_log_entry e = {
        .at_ms = dt_clock_real_ms(),
        .severity = made ? DT_SEVERITY_INFO : DT_SEVERITY_ERROR,
        .operation = "backup",
        .by_server = b->by_server,
        .body = body,
    };
    return b->state == DT_BACKUP_PENDING ? 0 : dt_store_log_add(c, b->row.id, &e, err);
}

static int end_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    const struct backup *b = arg;
    struct dt_sandbox_row now;
    if (dt_store_sandbox_get(c, b->row.id, &now, err) < 0)
        return -1;
    /* Archived meanwhile: that is the newer one. */
    bool archived = now.state == DT_SANDBOX_ARCHIVED;
    dt_sandbox_row_done(&now);
    if (archived)
        return 0;
    if (dt_store_sandbox_backup(c, b->row.id, b->state, b->made_ms, err) < 0)
        return -1;
    return log_end(c, b, err);
}

static void end_done(void *arg, const struct dt_err *err)
{
    struct backup *b = arg;
    dt_log(b->state == DT_BACKUP_COMPLETED ? DT_LOG_INFO : DT_LOG_WARN, "backup", "sandbox",
           b->row.id, "state", dt_backup_text(b->state), "err", err != NULL ? err->msg : NULL,
           NULL);
    over(b, err);
}

static void end(struct backup *b, enum dt_backup_state state)
{
    struct dt_err err;
    b->state = state;
    b->made_ms = state == DT_BACKUP_COMPLETED ? dt_clock_real_ms() : 0;
    if (dt_db_submit(b->rd->db, end_job, b, end_done, &err) < 0)
        over(b, &err);
}

static void on_launcher(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct backup *b = ctx;
    struct dt_err why;
    if (a == NULL) {
        b->why = *err;
        end(b, err->code == DT_E_UNAVAILABLE ? DT_BACKUP_PENDING : DT_BACKUP_ERROR);
        return;
    }
    if (dt_launcher_result(a, &why) == 0) {
        end(b, DT_BACKUP_COMPLETED);
        return;
    }
    b->why = why;
    bool again = a->result == DT_LW_CANCELLED || a->result == DT_LW_BUSY;
    dt_log(DT_LOG_WARN, "backup", "sandbox", b->row.id, "err", why.msg, NULL);
    end(b, again ? DT_BACKUP_PENDING : DT_BACKUP_ERROR);
}

static int begin_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct backup *b = arg;
    struct dt_sandbox_row row;
    if (dt_store_sandbox_get(c, b->row.id, &row, err) < 0)
        return -1;
    b->row = row;
    return dt_store_sandbox_backup(c, b->row.id, b->state, 0, err);
}

static void begin_done(void *arg, const struct dt_err *err)
{
    struct backup *b = arg;
    struct dt_lw_request r = {.op = DT_LW_BACKUP};
    struct dt_err why;
    if (err != NULL) {
        over(b, err);
        return;
    }
    show(b, false);
    answer(b, NULL);
    (void)dt_uuid_bytes(b->row.id, r.id);
    if (dt_launcher_client_call(b->rd->launcher, &r, -1, LONG_MS, on_launcher, b, &why) < 0)
        end(b, DT_BACKUP_PENDING);
}

int dt_backup_start(struct dt_runnerd *rd, struct dt_live *l, dt_lifecycle_done *done, void *ctx,
                    struct dt_err *err)
{
    const struct dt_sandbox_now now = dt_lifecycle_now(l);
    if (dt_sandbox_check_call(DT_CALL_BACKUP, &now, err) < 0)
        return -1;
    struct backup *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return dt_err_set(err, DT_E_NOMEM, "backup");
    b->rd = rd;
    b->done = done;
    b->ctx = ctx;
    b->by_server = done == NULL;
    b->state = DT_BACKUP_IN_PROGRESS;
    memcpy(b->row.id, l->id, sizeof(b->row.id));
    if (dt_db_submit(rd->db, begin_job, b, begin_done, err) < 0) {
        free(b);
        return -1;
    }
    l->backing_up = true;
    return 0;
}

void dt_backup_retry(struct dt_runnerd *rd, struct dt_live *l)
{
    struct dt_err err;
    bool due = l->backup == DT_BACKUP_PENDING || l->backup == DT_BACKUP_IN_PROGRESS;
    if (due && !l->backing_up && dt_backup_start(rd, l, NULL, NULL, &err) < 0 &&
        err.code != DT_E_BAD_REQUEST)
        dt_log(DT_LOG_WARN, "backup", "sandbox", l->id, "err", err.msg, NULL);
}
