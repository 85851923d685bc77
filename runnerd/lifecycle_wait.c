#include "runnerd/lifecycle_wait.h"

#include "base/clock.h"
#include "runnerd/boot.h"
#include "runnerd/lifecycle_op.h"

enum { WAIT_MS = 30000, LOOK_MS = 500, WAITING_MAX = 1024, REPEATS_MAX = 2 };

/* --- the queue --- */

static void add(struct dt_op_queue *q, struct dt_op *op)
{
    op->next = NULL;
    *q->last = op;
    q->last = &op->next;
    q->n++;
}

static struct dt_op *take(struct dt_op_queue *q, struct dt_op **at)
{
    struct dt_op *op = *at;
    *at = op->next;
    if (op->next == NULL)
        q->last = at;
    q->n--;
    return op;
}

/* --- the end --- */

/* The launcher never heard of it. */
static void fail_unsent(struct dt_op *op, const struct dt_err *why)
{
    switch (op->kind) {
    case DT_OP_CREATE:
    case DT_OP_FORK:
        op->failed = true;
        op->err = *why;
        dt_op_set_state(&op->row, DT_SANDBOX_DESTROYED, DT_DESIRED_DESTROYED);
        dt_op_end(op);
        break;
    case DT_OP_STOP:
    case DT_OP_DESTROY:
        dt_op_over(op, why); /* the comparison does it when it can */
        break;
    case DT_OP_START:
    case DT_OP_RESTORE:
    case DT_OP_RESUME:
    case DT_OP_PAUSE:
    case DT_OP_ARCHIVE:
    case DT_OP_RESIZE:
        dt_op_launcher_failed(op, why);
        break;
    case DT_OP_KINDS:
        break;
    }
}

static void give_up(struct dt_op *op, const struct dt_err *why)
{
    /* Nobody knows what came of it, or there is no time to say: the next comparison finds out. */
    if (op->sent || op->rd->stopping)
        dt_op_over(op, why);
    else
        fail_unsent(op, why);
}

static void on_look(uv_timer_t *t)
{
    struct dt_runnerd *rd = t->data;
    struct dt_op_queue *q = &rd->waiting;
    struct dt_err err;
    uint64_t now = dt_clock_ms();
    (void)dt_err_set(&err, DT_E_UNAVAILABLE,
                     "the launcher (daytona-launcher) could not be reached for %d s: try again; "
                     "when it stays so, see its log",
                     WAIT_MS / 1000);
    for (size_t n = q->n; n > 0; n--) {
        struct dt_op *op = take(q, &q->first);
        if (now >= op->wait_end_ms)
            give_up(op, &err);
        else
            add(q, op);
    }
    if (q->n == 0)
        (void)uv_timer_stop(t);
}

void dt_op_wait_end(struct dt_runnerd *rd)
{
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_UNAVAILABLE, "the server is going down: try again soon");
    while (rd->waiting.n > 0)
        dt_op_over(take(&rd->waiting, &rd->waiting.first), &err);
}

bool dt_op_wait_cancel(struct dt_runnerd *rd, const char *id)
{
    struct dt_err err;
    struct dt_op **at = &rd->waiting.first;
    while (*at != NULL && ((*at)->kind == DT_OP_DESTROY || strcmp((*at)->row.id, id) != 0))
        at = &(*at)->next;
    if (*at == NULL)
        return false;
    (void)dt_err_set(&err, DT_E_GONE, "the sandbox was destroyed before the launcher was there");
    dt_op_over(take(&rd->waiting, at), &err);
    return true;
}

/* --- waiting --- */

void dt_op_queue_init(struct dt_runnerd *rd)
{
    rd->waiting.last = &rd->waiting.first;
    (void)uv_timer_init(rd->loop, &rd->waiting.timer);
    rd->waiting.timer.data = rd;
}

bool dt_op_may_wait(const struct dt_runnerd *rd)
{
    return rd->launcher != NULL && !rd->stopping && rd->waiting.n < WAITING_MAX;
}

void dt_op_wait(struct dt_op *op, const struct dt_err *why)
{
    struct dt_op_queue *q = &op->rd->waiting;
    uint64_t now = dt_clock_ms();
    if (op->wait_end_ms == 0)
        op->wait_end_ms = now + WAIT_MS;
    if (!dt_op_may_wait(op->rd) || now >= op->wait_end_ms || op->repeats >= REPEATS_MAX) {
        give_up(op, why);
        return;
    }
    add(q, op);
    if (!uv_is_active((uv_handle_t *)&q->timer))
        (void)uv_timer_start(&q->timer, on_look, LOOK_MS, LOOK_MS);
}

/* --- going on --- */

/* What takes back all that an operation may have done; 0: doing it once more is the same. */
static uint32_t undo_op(const struct dt_op *op)
{
    switch (op->kind) {
    case DT_OP_CREATE:
    case DT_OP_FORK:
        return DT_LW_DESTROY;
    case DT_OP_START:
        return DT_LW_STOP;
    case DT_OP_RESTORE:
    case DT_OP_RESUME:
    case DT_OP_PAUSE:
    case DT_OP_STOP:
    case DT_OP_DESTROY:
    case DT_OP_ARCHIVE:
    case DT_OP_RESIZE:
    case DT_OP_KINDS:
        break;
    }
    return 0;
}

static void launch_again(struct dt_op *op)
{
    struct dt_live *l = dt_live_by_id(&op->rd->live, op->row.id);
    if (l != NULL)
        l->exited = false; /* what ended was the attempt before */
    op->sent = false;
    dt_op_launch(op);
}

static void on_undone(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct dt_op *op = ctx;
    struct dt_err why;
    if (a == NULL && err->code == DT_E_UNAVAILABLE)
        dt_op_wait(op, err);
    else if (a == NULL)
        dt_op_over(op, err);
    else if (a->result != DT_LW_NOT_FOUND && dt_launcher_result(a, &why) < 0)
        dt_op_launcher_failed(op, &why);
    else
        launch_again(op);
}

static void go_on(struct dt_op *op)
{
    struct dt_lw_request r = {.op = undo_op(op)};
    struct dt_err err;
    op->repeats += op->sent;
    if (!op->sent || r.op == 0) {
        launch_again(op);
        return;
    }
    (void)dt_uuid_bytes(op->row.id, r.id);
    if (dt_launcher_client_call(op->rd->launcher, &r, -1, DT_OP_SHORT_MS, on_undone, op, &err) == 0)
        return;
    if (err.code == DT_E_UNAVAILABLE)
        dt_op_wait(op, &err);
    else
        dt_op_over(op, &err);
}

void dt_op_wait_over(struct dt_runnerd *rd)
{
    for (size_t n = rd->waiting.n; n > 0; n--)
        go_on(take(&rd->waiting, &rd->waiting.first));
}
