#include "runnerd/volume.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "model/name.h"
#include "runnerd/boot.h"
#include "runnerd/identity/quota.h"

enum { CALL_MS = 120000 };

enum kind { CREATE, DELETE };

static const struct {
    const char *name;
    enum dt_volume_state asked, during, after;
    uint32_t op, done_already; /* of the launcher; an answer that is as good as OK */
} kinds[] = {
    [CREATE] = {"create", DT_VOLUME_PENDING_CREATE, DT_VOLUME_CREATING, DT_VOLUME_READY,
                DT_LW_VOLUME_CREATE, DT_LW_EXISTS},
    [DELETE] = {"delete", DT_VOLUME_PENDING_DELETE, DT_VOLUME_DELETING, DT_VOLUME_DELETED,
                DT_LW_VOLUME_DELETE, DT_LW_NOT_FOUND},
};

/* One volume on its way. The store's thread has `row` while a job runs, the loop otherwise. */
struct dt_volume_op {
    struct dt_volume_op *next; /* of rd->volume_ops */
    struct dt_runnerd *rd;
    enum kind kind;
    char id[DT_UUID_SIZE]; /* as in `row`, for the loop alone */
    struct dt_volume_row row;
    enum dt_volume_state told; /* to those who listen */
    bool is_new;               /* nobody was told yet */
    dt_volume_done *done;      /* NULL: nobody asked, it is resumed */
    void *ctx;
    uint64_t start_ns;
    int64_t quota; /* CREATE: of the organization */
    bool failed;   /* `err` says why */
    struct dt_err err;
};

static struct dt_volume_op *op_new(struct dt_runnerd *rd, enum kind kind, const char *id,
                                   struct dt_err *err)
{
    struct dt_volume_op *op = calloc(1, sizeof(*op));
    if (op == NULL) {
        (void)dt_err_set(err, DT_E_NOMEM, "volume");
        return NULL;
    }
    op->rd = rd;
    op->kind = kind;
    (void)snprintf(op->id, sizeof(op->id), "%s", id);
    (void)snprintf(op->row.id, sizeof(op->row.id), "%s", id);
    op->start_ns = dt_clock_ns();
    op->next = rd->volume_ops;
    rd->volume_ops = op;
    return op;
}

static void op_free(struct dt_volume_op *op)
{
    struct dt_volume_op **at = &op->rd->volume_ops;
    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
    dt_volume_row_done(&op->row);
    free(op);
}

/* After each commit. */
static void tell(struct dt_volume_op *op)
{
    if (op->rd->on_volume != NULL)
        op->rd->on_volume(op->rd, &op->row, op->is_new ? NULL : &op->told);
    op->told = op->row.state;
    op->is_new = false;
}

/* The end of every operation. Whoever asked gets the row as it was then. */
static void op_over(struct dt_volume_op *op, const struct dt_err *err)
{
    char ms[32];
    struct dt_volume_row asked = op->row;
    (void)snprintf(ms, sizeof(ms), "%.2f", (double)(dt_clock_ns() - op->start_ns) / 1e6);
    dt_log(err == NULL ? DT_LOG_INFO : DT_LOG_WARN, "volume", "op", kinds[op->kind].name, "volume",
           op->row.id, "state", dt_volume_state_text(op->row.state), "ms", ms, "err",
           err == NULL ? NULL : err->msg, NULL);
    asked.state = kinds[op->kind].asked;
    asked.error_reason = NULL;
    if (op->done != NULL)
        op->done(op->ctx, &asked, err);
    op_free(op);
}

/* --- last step: what came of it --- */

static int end_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct dt_volume_row *r = &((struct dt_volume_op *)arg)->row;
    char *name = NULL;
    r->updated_ms = dt_clock_real_ms();
    if (r->state == DT_VOLUME_DELETED) {
        if (asprintf(&name, "%s-deleted", r->name) < 0)
            return dt_err_set(err, DT_E_NOMEM, "volume");
        free(r->name);
        r->name = name;
    }
    return dt_store_volume_move(c, r, err);
}

static void end_done(void *arg, const struct dt_err *err)
{
    struct dt_volume_op *op = arg;
    /* Who asked for a volume finds in its row why it is not there. */
    bool failed = op->failed && op->kind == DELETE;
    if (err == NULL)
        tell(op);
    op_over(op, err == NULL && failed ? &op->err : err);
}

static void op_end(struct dt_volume_op *op, enum dt_volume_state state, const char *reason)
{
    struct dt_err err;
    free(op->row.error_reason);
    op->row.error_reason = reason != NULL ? strdup(reason) : NULL;
    op->row.state = state;
    if (dt_db_submit(op->rd->db, end_job, op, end_done, &err) < 0)
        op_over(op, &err);
}

/* --- the launcher --- */

static void on_launcher(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct dt_volume_op *op = ctx;
    if (a == NULL || a->result == DT_LW_BUSY) {
        /* Nobody knows what happened, or it cannot be now: the row says what is still to be done.
         */
        dt_log(DT_LOG_INFO, "a volume waits", "volume", op->row.id, "why",
               a != NULL ? a->text : err->msg, NULL);
        op_over(op, NULL);
    } else if (dt_launcher_result(a, &op->err) == 0 || a->result == kinds[op->kind].done_already) {
        op_end(op, kinds[op->kind].after, NULL);
    } else {
        op->failed = true;
        op_end(op, DT_VOLUME_ERROR, op->err.msg);
    }
}

/* Only what still is as it was asked for: another operation may have ended it meanwhile. */
static int begin_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct dt_volume_op *op = arg;
    struct dt_volume_row now;
    if (dt_store_volume_get(c, op->row.org, op->row.id, DT_VOLUME_BY_ID, &now, err) < 0)
        return -1;
    dt_volume_row_done(&op->row);
    op->row = now;
    if (now.state != kinds[op->kind].asked && now.state != kinds[op->kind].during)
        return dt_err_set(err, DT_E_GONE, "it is %s by now", dt_volume_state_text(now.state));
    op->row.state = kinds[op->kind].during;
    op->row.updated_ms = dt_clock_real_ms();
    return dt_store_volume_move(c, &op->row, err);
}

static void begin_done(void *arg, const struct dt_err *err)
{
    struct dt_volume_op *op = arg;
    struct dt_lw_request r = {.op = kinds[op->kind].op};
    struct dt_err why;
    if (err != NULL) {
        op_over(op, err);
        return;
    }
    tell(op);
    (void)dt_uuid_bytes(op->row.id, r.id);
    r.bytes = op->kind == CREATE ? (uint64_t)op->row.size_bytes : 0;
    if (dt_launcher_client_call(op->rd->launcher, &r, -1, CALL_MS, on_launcher, op, &why) < 0)
        op_over(op, NULL); /* it is resumed with the next connection */
}

static void op_go_on(struct dt_volume_op *op)
{
    struct dt_err err;
    if (!dt_launcher_client_is_up(op->rd->launcher))
        op_over(op, NULL);
    else if (dt_db_submit(op->rd->db, begin_job, op, begin_done, &err) < 0)
        op_over(op, &err);
}

/* --- first step: what is asked for --- */

static int create_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct dt_volume_op *op = arg;
    struct dt_err why;
    int64_t have = 0;
    if (dt_store_volume_count(c, op->row.org, &have, err) < 0)
        return -1;
    if (have >= op->quota)
        return dt_err_set(err, DT_E_FORBIDDEN, "Volume quota exceeded. Maximum allowed: %" PRId64,
                          op->quota);
    if (dt_store_volume_insert(c, &op->row, &why) == 0)
        return 0;
    if (why.code == DT_E_CONFLICT)
        return dt_err_set(err, DT_E_BAD_REQUEST, "Volume with name %s already exists",
                          op->row.name);
    *err = why;
    return -1;
}

static int delete_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct dt_volume_op *op = arg;
    struct dt_volume_row row;
    DT_AUTO_FREE char *user = NULL;
    if (dt_store_volume_get(c, op->row.org, op->row.id, DT_VOLUME_BY_ID, &row, err) < 0)
        return -1;
    op->row = row;
    if (row.state != DT_VOLUME_READY && row.state != DT_VOLUME_ERROR)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Volume must be in 'ready' state in order to be deleted");
    if (dt_store_volume_user(c, &row, &user, err) < 0)
        return -1;
    if (user != NULL)
        return dt_err_set(err, DT_E_CONFLICT,
                          "Volume cannot be deleted because it is in use by one or more sandboxes "
                          "(e.g. %s)",
                          user);
    op->told = row.state;
    op->row.state = DT_VOLUME_PENDING_DELETE;
    op->row.updated_ms = dt_clock_real_ms();
    return dt_store_volume_move(c, &op->row, err);
}

static void asked_done(void *arg, const struct dt_err *err)
{
    struct dt_volume_op *op = arg;
    if (err != NULL) {
        op_over(op, err);
        return;
    }
    tell(op);
    op_go_on(op);
}

static int ask(struct dt_volume_op *op, dt_db_fn *job, dt_volume_done *done, void *ctx,
               struct dt_err *err)
{
    if (dt_db_submit(op->rd->db, job, op, asked_done, err) < 0) {
        op_free(op);
        return -1;
    }
    op->done = done;
    op->ctx = ctx;
    return 0;
}

int dt_volume_create(struct dt_runnerd *rd, const char *org, const char *name, dt_volume_done *done,
                     void *ctx, struct dt_err *err)
{
    if (name[0] != '\0' && dt_name_check(dt_str_z(name), err) < 0)
        return -1;
    char id[DT_UUID_SIZE];
    dt_rand_uuid(id);
    struct dt_volume_op *op = op_new(rd, CREATE, id, err);
    if (op == NULL)
        return -1;
    struct dt_volume_row *r = &op->row;
    int64_t quotas[DT_QUOTAS];
    dt_quotas_of(rd->config, dt_directory_org(&rd->directory, org), quotas);
    op->quota = quotas[DT_QUOTA_VOLUMES];
    (void)snprintf(r->org, sizeof(r->org), "%s", org);
    r->name = strdup(name[0] != '\0' ? name : r->id);
    r->state = DT_VOLUME_PENDING_CREATE;
    op->is_new = true;
    r->size_bytes = rd->config->daytona_volume_size << 30;
    r->created_ms = r->updated_ms = dt_clock_real_ms();
    if (r->name == NULL) {
        op_free(op);
        return dt_err_set(err, DT_E_NOMEM, "volume");
    }
    return ask(op, create_job, done, ctx, err);
}

int dt_volume_delete(struct dt_runnerd *rd, const char *org, const char *id, dt_volume_done *done,
                     void *ctx, struct dt_err *err)
{
    if (!dt_is_uuid(id))
        return dt_err_set(err, DT_E_NOT_FOUND, "Volume with ID %.256s not found", id);
    struct dt_volume_op *op = op_new(rd, DELETE, id, err);
    if (op == NULL)
        return -1;
    (void)snprintf(op->row.org, sizeof(op->row.org), "%s", org);
    return ask(op, delete_job, done, ctx, err);
}

/* --- what a crash left, or a launcher that was away --- */

struct unfinished {
    struct dt_runnerd *rd;
    struct dt_volume_row *rows;
    size_t n;
};

static int keep(void *ctx, struct dt_volume_row *r, struct dt_err *err)
{
    struct unfinished *u = ctx;
    struct dt_volume_row *more = realloc(u->rows, (u->n + 1) * sizeof(*more));
    if (more == NULL)
        return dt_err_set(err, DT_E_NOMEM, "volumes");
    u->rows = more;
    u->rows[u->n++] = *r;
    memset(r, 0, sizeof(*r));
    return 0;
}

static int find_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    return dt_store_volume_moving(c, keep, arg, err);
}

static bool is_under_way(const struct dt_runnerd *rd, const char *id)
{
    const struct dt_volume_op *op = rd->volume_ops;
    while (op != NULL && strcmp(op->id, id) != 0)
        op = op->next;
    return op != NULL;
}

static void resume(struct dt_runnerd *rd, struct dt_volume_row *row)
{
    struct dt_err err;
    bool made = row->state == DT_VOLUME_PENDING_CREATE || row->state == DT_VOLUME_CREATING;
    struct dt_volume_op *op =
        is_under_way(rd, row->id) ? NULL : op_new(rd, made ? CREATE : DELETE, row->id, &err);
    if (op == NULL)
        return;
    op->row = *row;
    op->told = row->state;
    memset(row, 0, sizeof(*row));
    op_go_on(op);
}

static void find_done(void *arg, const struct dt_err *err)
{
    struct unfinished *u = arg;
    if (err != NULL)
        dt_log(DT_LOG_WARN, "cannot look for unfinished volumes", "err", err->msg, NULL);
    for (size_t i = 0; i < u->n; i++) {
        if (err == NULL)
            resume(u->rd, &u->rows[i]);
        dt_volume_row_done(&u->rows[i]);
    }
    free(u->rows);
    free(u);
}

void dt_volumes_resume(struct dt_runnerd *rd)
{
    struct dt_err err;
    struct unfinished *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return;
    u->rd = rd;
    if (dt_db_submit_read(rd->db, find_job, u, find_done, &err) < 0)
        free(u);
}
