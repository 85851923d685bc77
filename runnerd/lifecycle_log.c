/* What a sandbox's own log says of what was done with it, or happened to it. */
#include "runnerd/lifecycle_op.h"

#include <inttypes.h>
#include <stdio.h>

#include "runnerd/store_log.h"

static const char *restored(const struct dt_op *op)
{
    bool archived = op->before.state == DT_SANDBOX_ARCHIVED;
    if (op->row.state == DT_SANDBOX_STARTED)
        return archived ? "brought back from the archive and started" : "recovered and started";
    return archived ? "brought back from the archive" : "recovered";
}

static void describe(const struct dt_op *op, char *out, size_t size)
{
    static const char *const plain[DT_OP_KINDS] = {
        [DT_OP_CREATE] = "created and started",
        [DT_OP_START] = "started",
        [DT_OP_RESUME] = "resumed",
        [DT_OP_PAUSE] = "paused",
        [DT_OP_STOP] = "stopped",
        [DT_OP_DESTROY] = "destroyed",
        [DT_OP_ARCHIVE] = "archived",
    };
    const struct dt_resources *res = &op->row.res;
    if (op->failed && op->err.code == DT_E_CANCELLED)
        (void)snprintf(out, size, "%s ended early: %s", dt_op_kinds[op->kind].name, op->err.msg);
    else if (op->failed)
        (void)snprintf(out, size, "%s failed: %s", dt_op_kinds[op->kind].name, op->err.msg);
    else if (op->kind == DT_OP_FORK)
        (void)snprintf(out, size, "created as a fork of %s and started", op->parent);
    else if (op->kind == DT_OP_RESIZE)
        (void)snprintf(out, size,
                       "resized to %g cpu, %" PRId64 " MiB of memory and %" PRId64 " MiB of disk",
                       (double)res->cpu_millis / 1000, res->memory_mib, res->disk_mib);
    else
        (void)snprintf(out, size, "%s", op->kind == DT_OP_RESTORE ? restored(op) : plain[op->kind]);
}

int dt_op_log(struct dt_db_conn *c, const struct dt_op *op, struct dt_err *err)
{
    char body[DT_LOG_BODY_MAX];
    describe(op, body, sizeof(body));
    const struct dt_log_entry e = {
        .at_ms = op->row.updated_ms,
        .severity = !op->failed                      ? DT_SEVERITY_INFO
                    : op->err.code == DT_E_CANCELLED ? DT_SEVERITY_WARN
                                                     : DT_SEVERITY_ERROR,
        .operation = dt_op_kinds[op->kind].name,
        .state = dt_sandbox_state_text(op->row.state),
        .by_server = op->by_server,
        .body = body,
    };
    /* Of what is destroyed there is no log. */
    return op->row.state == DT_SANDBOX_DESTROYED ? 0 : dt_store_log_add(c, op->row.id, &e, err);
}
