/* What a sandbox is without an operation: it ended by itself, or a comparison found out. */
#include "runnerd/lifecycle_op.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "runnerd/boot.h"
#include "runnerd/store_log.h"

/* What is so already. */
struct finding {
    enum dt_sandbox_state state;
    enum dt_sandbox_desired desired;
    const char *reason; /* NULL = none */
    const char *operation;
    enum dt_severity severity;
};

/* A row that only has to say that. */
struct note {
    struct dt_runnerd *rd;
    struct dt_sandbox_row row;
    struct finding found;
    char reason[256];
};

static int log_it(struct dt_db_conn *c, const struct note *n, struct dt_err *err)
{
    char plain[64];
    (void)snprintf(plain, sizeof(plain), "found %s", dt_sandbox_state_text(n->found.state));
    const struct dt_log_entry e = {
        .at_ms = n->row.updated_ms,
        .severity = n->found.severity,
        .operation = n->found.operation,
        .state = dt_sandbox_state_text(n->found.state),
        .by_server = true,
        .body = n->reason[0] != '\0' ? n->reason : plain,
    };
    return dt_store_log_add(c, n->row.id, &e, err);
}

static int note_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct note *n = arg;
    struct dt_sandbox_row row;
    if (dt_store_sandbox_get(c, n->row.id, &row, err) < 0)
        return -1;
    n->row = row;
    dt_op_set_state(&n->row, n->found.state, n->found.desired);
    n->row.lost = n->found.state == DT_SANDBOX_ERROR; /* the only reason for a note of that */
    if (dt_op_set_text(&n->row.error_reason, n->reason[0] != '\0' ? n->reason : NULL) < 0)
        return dt_err_set(err, DT_E_NOMEM, "sandbox");
    return dt_store_sandbox_move(c, &n->row, err) < 0 ? -1 : log_it(c, n, err);
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
           n->row.id, "state", dt_sandbox_state_text(n->found.state), "reason",
           n->reason[0] != '\0' ? n->reason : NULL, "err", err == NULL ? NULL : err->msg, NULL);
    l = err == NULL ? dt_lifecycle_show(n->rd, &n->row) : NULL;
    if (l != NULL && n->found.state == DT_SANDBOX_STOPPED && n->row.auto_delete == 0)
        dt_lifecycle_repair(n->rd, l, DT_REPAIR_DESTROY, NULL);
    dt_sandbox_row_done(&n->row);
    free(n);
}

static void note(struct dt_runnerd *rd, struct dt_live *l, const struct finding *found)
{
    struct dt_err err;
    struct note *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return;
    n->rd = rd;
    n->found = *found;
    (void)snprintf(n->row.id, sizeof(n->row.id), "%s", l->id);
    (void)snprintf(n->reason, sizeof(n->reason), "%s", found->reason != NULL ? found->reason : "");
    n->found.reason = n->reason;
    if (dt_db_submit(rd->db, note_job, n, note_done, &err) < 0)
        free(n); /* the next comparison finds the difference again */
    else
        l->busy = true;
}

static void compared(struct dt_runnerd *rd, struct dt_live *l, enum dt_sandbox_state state,
                     enum dt_sandbox_desired desired, const char *reason)
{
    bool lost = state == DT_SANDBOX_ERROR;
    note(rd, l,
         &(struct finding){state, desired, reason, "compare",
                           lost ? DT_SEVERITY_ERROR : DT_SEVERITY_WARN});
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
        compared(rd, l, DT_SANDBOX_STARTED, DT_DESIRED_STARTED, NULL);
        break;
    case DT_REPAIR_STOPPED:
        compared(rd, l, DT_SANDBOX_STOPPED, DT_DESIRED_STOPPED, reason);
        break;
    case DT_REPAIR_PAUSED:
        compared(rd, l, DT_SANDBOX_PAUSED, DT_DESIRED_PAUSED, NULL);
        break;
    case DT_REPAIR_ARCHIVED:
        compared(rd, l, DT_SANDBOX_ARCHIVED, DT_DESIRED_ARCHIVED, NULL);
        break;
    case DT_REPAIR_LOST:
        compared(rd, l, DT_SANDBOX_ERROR, l->desired,
                 l->backup_ms > 0 ? "the sandbox's files are gone: recover it from its backup, or "
                                    "destroy it"
                                  : "the sandbox's files are gone: destroy it");
        break;
    case DT_REPAIR_ARCHIVE:
        begun = dt_op_begin(rd, l, DT_OP_ARCHIVE, NULL, NULL, &err);
        break;
    case DT_REPAIR_RESIZE:
        begun = dt_op_begin(rd, l, DT_OP_RESIZE, NULL, NULL, &err);
        break;
    case DT_REPAIR_PAUSE:
        begun = dt_op_begin(rd, l, DT_OP_PAUSE, NULL, NULL, &err);
        break;
    case DT_REPAIR_STOP:
        begun = dt_op_begin(rd, l, DT_OP_STOP, NULL, NULL, &err);
        break;
    case DT_REPAIR_DESTROY:
        begun = dt_op_begin(rd, l, DT_OP_DESTROY, NULL, NULL, &err);
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
    note(rd, l,
         &(struct finding){DT_SANDBOX_STOPPED, DT_DESIRED_STOPPED, reason, "exit",
                           event->oom != 0      ? DT_SEVERITY_ERROR
                           : event->status == 0 ? DT_SEVERITY_INFO
                                                : DT_SEVERITY_WARN});
}
