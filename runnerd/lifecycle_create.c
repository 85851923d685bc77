/* New sandboxes: from a snapshot, or from another sandbox. */
#include "runnerd/lifecycle_op.h"

#include <stdio.h>

#include "runnerd/boot.h"

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

static int create_with(struct dt_op *op, struct dt_db_conn *c,
                       const struct dt_snapshot_row *snapshot, const struct dt_snapshot_row *tools,
                       struct dt_err *err)
{
    struct dt_cidr cidrs[DT_CIDRS_MAX];
    int ncidrs;
    struct dt_sandbox_row *r = &op->row;
    if (dt_create_check(&op->ask, &op->limits, &snapshot->res, &r->res, cidrs, &ncidrs, err) < 0 ||
        dt_holdings_try(op->rd->holdings, r->org, &op->held, &r->res, &op->most, err) < 0 ||
        dt_boot_make(r, snapshot, tools, op->user, op->env, err) < 0 ||
        dt_mounts_resolve(c, r->org, op->mounts, r->created_ms, &r->volumes, err) < 0)
        return -1;
    if (dt_op_set_text(&r->snapshot, snapshot->name) < 0)
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
    struct dt_op *op = arg;
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
static int fill_create(struct dt_op *op, const struct dt_create *in, struct dt_err *err)
{
    struct dt_sandbox_row *r = &op->row;
    dt_rand_uuid(r->id);
    (void)snprintf(r->org, sizeof(r->org), "%s", in->org);
    dt_op_set_state(r, DT_SANDBOX_CREATING, DT_DESIRED_STARTED);
    r->created_ms = r->updated_ms;
    r->is_public = in->is_public;
    r->block_all = in->ask.block_all;
    r->auto_stop = in->auto_stop;
    r->auto_archive = in->auto_archive;
    r->auto_delete = in->auto_delete;
    r->auto_pause = in->auto_pause;
    r->destroy_ms = in->ttl_min > 0 ? r->created_ms + in->ttl_min * 60000 : 0;
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
        dt_op_set_text(&r->name, in->name != NULL ? in->name : r->id) < 0 ||
        dt_op_set_text(&r->allow_list, list) < 0 || dt_op_set_text(&r->target, in->target) < 0 ||
        dt_op_set_text(&r->linked_to, in->linked_to) < 0 ||
        dt_op_set_text(&r->class_name, in->class_name) < 0 ||
        dt_op_set_text(&op->user, in->user) < 0 || dt_op_set_text(&op->snapshot, in->snapshot) < 0)
        return dt_err_set(err, DT_E_NOMEM, "sandbox");
    return 0;
}

int dt_lifecycle_create(struct dt_runnerd *rd, const struct dt_create *in, dt_lifecycle_done *done,
                        void *ctx, struct dt_err *err)
{
    if (dt_lifecycle_check_up(rd, err) < 0)
        return -1;
    struct dt_op *op = dt_op_new(rd, DT_OP_CREATE, done, ctx, err);
    if (op == NULL)
        return -1;
    dt_lifecycle_quotas(rd, in->org, &op->limits, &op->most);
    if (fill_create(op, in, err) < 0 ||
        dt_db_submit(rd->db, create_job, op, dt_op_begun, err) < 0) {
        dt_op_free(op);
        return -1;
    }
    return 0;
}

/* --- fork --- */

static int fork_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct dt_op *op = arg;
    struct dt_sandbox_row parent = {0};
    struct dt_sandbox_row *r = &op->row;
    if (dt_store_sandbox_get(c, op->parent, &parent, err) < 0)
        return -1;
    int rc = dt_boot_fork(r, &parent, err);
    dt_sandbox_row_done(&parent);
    if (rc < 0 || dt_holdings_try(op->rd->holdings, r->org, &op->held, &r->res, &op->most, err) < 0)
        return -1;
    dt_op_set_state(r, DT_SANDBOX_CREATING, DT_DESIRED_STARTED);
    r->created_ms = r->updated_ms;
    if (dt_mounts_used(c, r->volumes, r->created_ms, err) < 0)
        return -1;
    return dt_store_sandbox_insert(c, r, err);
}

int dt_lifecycle_fork(struct dt_runnerd *rd, struct dt_live *parent, const char *name,
                      dt_lifecycle_done *done, void *ctx, struct dt_err *err)
{
    const struct dt_sandbox_now now = dt_lifecycle_now(parent);
    if (dt_sandbox_check_call(DT_CALL_FORK, &now, err) < 0 || dt_lifecycle_check_up(rd, err) < 0)
        return -1;
    struct dt_op *op = dt_op_new(rd, DT_OP_FORK, done, ctx, err);
    if (op == NULL)
        return -1;
    dt_lifecycle_quotas(rd, parent->org, &op->limits, &op->most);
    (void)snprintf(op->parent, sizeof(op->parent), "%s", parent->id);
    (void)snprintf(op->row.org, sizeof(op->row.org), "%s", parent->org);
    dt_rand_uuid(op->row.id);
    if ((dt_op_set_text(&op->row.name, name != NULL ? name : op->row.id) < 0 &&
         dt_err_set(err, DT_E_NOMEM, "sandbox")) ||
        dt_db_submit(rd->db, fork_job, op, dt_op_begun, err) < 0) {
        dt_op_free(op);
        return -1;
    }
    parent->busy = true; /* it may not end before it is copied */
    return 0;
}
