/* The second step of an operation: the launcher. */
#include "runnerd/lifecycle_op.h"

#include "base/clock.h"
#include "runnerd/boot.h"
#include "runnerd/named_user.h"
#include "runnerd/network.h"

/* Where it is when what is wanted is so. */
static enum dt_sandbox_state resting(enum dt_sandbox_desired d)
{
    return d == DT_DESIRED_STOPPED  ? DT_SANDBOX_STOPPED
           : d == DT_DESIRED_PAUSED ? DT_SANDBOX_PAUSED
                                    : DT_SANDBOX_STARTED;
}

static void op_fail_back(struct dt_op *op, const struct dt_err *why)
{
    op->row.res = op->before.res;
    dt_op_fail(op, resting(op->before.desired), op->before.desired, why);
}

static void on_cleaned(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct dt_op *op = ctx;
    struct dt_err why;
    if (a != NULL && (dt_launcher_result(a, &why) == 0 || a->result == DT_LW_NOT_FOUND)) {
        dt_op_set_state(&op->row, DT_SANDBOX_DESTROYED, DT_DESIRED_DESTROYED);
        dt_op_end(op);
        return;
    }
    /* The row stays as it is; reconciliation tries again. */
    dt_op_over(op, err != NULL ? err : &op->err);
}

/* A sandbox that could not be made leaves nothing behind. */
static void clean_up(struct dt_op *op, const struct dt_err *why)
{
    struct dt_lw_request r = {.op = DT_LW_DESTROY};
    struct dt_err err;
    op->failed = true;
    op->err = *why;
    if (why->code == DT_E_SYSTEM || why->code == DT_E_TIMEOUT)
        op->err.code = DT_E_SYSTEM;
    (void)dt_err_wrap(&op->err, "Sandbox failed to start");
    (void)dt_op_set_text(&op->row.error_reason, op->err.msg);
    (void)dt_uuid_bytes(op->row.id, r.id);
    if (dt_launcher_client_call(op->rd->launcher, &r, -1, dt_op_kinds[DT_OP_DESTROY].timeout_ms,
                                on_cleaned, op, &err) < 0)
        dt_op_over(op, &op->err);
}

/* As far as it came. */
static void restore_failed(struct dt_op *op, const struct dt_err *why)
{
    if (op->lw_op == DT_LW_START)
        dt_op_fail(op, DT_SANDBOX_STOPPED, DT_DESIRED_STOPPED, why);
    else if (why->code == DT_E_NOT_FOUND || op->before.state == DT_SANDBOX_ERROR) {
        op->row.lost = op->row.lost || why->code == DT_E_NOT_FOUND;
        dt_op_fail(op, DT_SANDBOX_ERROR, DT_DESIRED_STOPPED, why);
    } else
        dt_op_fail(op, DT_SANDBOX_ARCHIVED, DT_DESIRED_ARCHIVED, why);
}

void dt_op_launcher_failed(struct dt_op *op, const struct dt_err *why)
{
    switch (op->kind) {
    case DT_OP_CREATE:
    case DT_OP_FORK:
        clean_up(op, why);
        break;
    case DT_OP_START:
    case DT_OP_ARCHIVE:
        dt_op_fail(op, DT_SANDBOX_STOPPED, DT_DESIRED_STOPPED, why);
        break;
    case DT_OP_RESTORE:
        restore_failed(op, why);
        break;
    case DT_OP_RESUME:
    case DT_OP_PAUSE:
    case DT_OP_RESIZE:
        op_fail_back(op, why);
        break;
    case DT_OP_STOP:
    case DT_OP_DESTROY:
        dt_op_fail(op, DT_SANDBOX_ERROR, op->row.desired, why);
        break;
    case DT_OP_KINDS:
        break;
    }
}

static void op_worked(struct dt_op *op)
{
    if (op->kind == DT_OP_RESIZE)
        dt_op_set_state(&op->row, resting(op->row.desired), op->row.desired);
    else
        dt_op_set_state(&op->row, dt_op_kinds[op->kind].after, dt_op_kinds[op->kind].desired);
    dt_op_end(op);
}

static void on_user(void *ctx, const struct dt_err *err)
{
    struct dt_op *op = ctx;
    if (err == NULL)
        op_worked(op);
    else if (err->code == DT_E_CANCELLED)
        dt_op_over(op, err); /* the program ends: the next one compares */
    else
        dt_op_launcher_failed(op, err);
}

/* The files are back, or were never away: now it starts. */
static bool goes_on(struct dt_op *op)
{
    if (op->kind != DT_OP_RESTORE || op->lw_op == DT_LW_START)
        return false;
    if (op->without_start) {
        dt_op_set_state(&op->row, DT_SANDBOX_STOPPED, DT_DESIRED_STOPPED);
        dt_op_end(op);
        return true;
    }
    op->lw_op = DT_LW_START;
    op->sent = false;
    dt_op_launch(op);
    return true;
}

static void on_launcher(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct dt_op *op = ctx;
    struct dt_err why;
    op->launcher_ns = dt_clock_ns() - op->launcher_ns;
    unsigned flags = dt_op_kinds[op->kind].flags;
    if (a == NULL && err->code == DT_E_UNAVAILABLE) {
        /* Nobody knows what happened: the next comparison with the launcher finds out. */
        if ((flags & DT_OP_AGAIN) != 0)
            dt_op_wait(op, err);
        else
            dt_op_over(op, err);
        return;
    }
    bool fine = a != NULL && ((a->result == DT_LW_NOT_FOUND && (flags & DT_OP_GONE_OK) != 0) ||
                              (a->result == DT_LW_EXISTS && op->lw_op == DT_LW_RESTORE));
    if (a == NULL)
        why = *err;
    if (a == NULL || (!fine && dt_launcher_result(a, &why) < 0)) {
        dt_op_launcher_failed(op, &why);
        return;
    }
    op->row.lost = false;
    if (goes_on(op))
        return;
    bool booted = (flags & DT_OP_BOOTS) != 0 || op->kind == DT_OP_RESTORE;
    if (!booted || !dt_named_user_is_set(&op->row))
        op_worked(op);
    else if (dt_named_user_ask(op->rd, &op->row, on_user, op, &why) < 0)
        dt_op_launcher_failed(op, &why);
}

static int call_launcher(struct dt_op *op, struct dt_err *err)
{
    struct dt_runnerd *rd = op->rd;
    unsigned flags =
        op->lw_op == DT_LW_START ? DT_OP_BOOTS | DT_OP_SPEC : dt_op_kinds[op->kind].flags;
    uint64_t timeout_ms =
        op->lw_op == DT_LW_START ? DT_OP_SHORT_MS : dt_op_kinds[op->kind].timeout_ms;
    struct dt_lw_request r = {.op = op->lw_op};
    DT_AUTO_FD int fd = -1;
    if ((flags & DT_OP_BOOTS) != 0) {
        /* Without a network, too: this very request may be what makes the launcher find one. */
        uint32_t base = rd->hello.network_base;
        uint32_t resolver = base != 0 ? base + 1 : 0;
        fd = dt_boot_memfd(&op->row, resolver, err);
        if (fd < 0)
            return -1;
    }
    if ((flags & DT_OP_SPEC) != 0) {
        if (dt_boot_request(&op->row, dt_network_limit(rd, op->row.org), r.op, &r, err) < 0)
            return -1;
    } else {
        (void)dt_uuid_bytes(op->row.id, r.id);
    }
    r.grace_ms = op->kind == DT_OP_STOP ? DT_OP_STOP_GRACE_MS : 0;
    if (op->kind == DT_OP_FORK)
        (void)dt_uuid_bytes(op->parent, r.other);
    op->launcher_ns = dt_clock_ns();
    if (dt_launcher_client_call(rd->launcher, &r, fd, timeout_ms, on_launcher, op, err) < 0)
        return -1;
    op->sent = true;
    return 0;
}

void dt_op_launch(struct dt_op *op)
{
    struct dt_err why;
    if (call_launcher(op, &why) == 0)
        return;
    if (why.code == DT_E_UNAVAILABLE)
        dt_op_wait(op, &why);
    else
        dt_op_launcher_failed(op, &why);
}
