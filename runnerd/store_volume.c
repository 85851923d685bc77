#include "runnerd/store_volume.h"

#include <stdio.h>

#define COLUMNS                                                                                    \
    "id, organization_id, name, state, size_bytes, error_reason, created_ms, updated_ms, "         \
    "last_used_ms"

void dt_volume_row_done(struct dt_volume_row *r)
{
    free(r->name);
    free(r->error_reason);
    memset(r, 0, sizeof(*r));
}

static int read_row(struct dt_db_rows *q, struct dt_volume_row *ret, struct dt_err *err)
{
    const char *reason = dt_db_text(q, 5);
    struct dt_volume_row r = {
        .size_bytes = dt_db_int(q, 4),
        .created_ms = dt_db_int(q, 6),
        .updated_ms = dt_db_int(q, 7),
        .last_used_ms = dt_db_int(q, 8),
    };
    (void)snprintf(r.id, sizeof(r.id), "%s", dt_db_text(q, 0));
    (void)snprintf(r.org, sizeof(r.org), "%s", dt_db_text(q, 1));
    if (dt_volume_state_from_text(dt_db_text(q, 3), &r.state) < 0)
        return dt_err_set(err, DT_E_SYSTEM, "store: volume %s has state '%s'", r.id,
                          dt_db_text(q, 3));
    r.name = strdup(dt_db_text(q, 2));
    r.error_reason = reason != NULL ? strdup(reason) : NULL;
    if (r.name == NULL || (reason != NULL && r.error_reason == NULL)) {
        dt_volume_row_done(&r);
        return dt_err_set(err, DT_E_NOMEM, "store: volume");
    }
    *ret = r;
    return 0;
}

int dt_store_volume_insert(struct dt_db_conn *c, const struct dt_volume_row *r, struct dt_err *err)
{
    return dt_db_run(c,
                     "INSERT INTO volume (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6, ?6, "
                     "NULL)",
                     DT_DB_ARGS(dt_db_t(r->id), dt_db_t(r->org), dt_db_t(r->name),
                                dt_db_t(dt_volume_state_text(r->state)), dt_db_i(r->size_bytes),
                                dt_db_i(r->created_ms)),
                     NULL, err);
}

int dt_store_volume_count(struct dt_db_conn *c, const char *org, int64_t *ret, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT count(*) FROM volume WHERE organization_id = ?1 AND state NOT IN "
                    "('deleted', 'error')",
                    DT_DB_ARGS(dt_db_t(org)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    *ret = got > 0 ? dt_db_int(q, 0) : 0;
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

int dt_store_volume_get(struct dt_db_conn *c, const char *org, const char *key,
                        enum dt_volume_key how, struct dt_volume_row *r, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT " COLUMNS " FROM volume WHERE organization_id = ?1 AND "
                    "state <> 'deleted' AND ((?3 <> 1 AND id = ?2) OR (?3 <> 0 AND name = ?2)) "
                    "ORDER BY id = ?2 DESC LIMIT 1",
                    DT_DB_ARGS(dt_db_t(org), dt_db_t(key), dt_db_i(how)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    int result = got > 0 ? read_row(q, r, err) : -1;
    dt_db_end(q);
    if (got == 0)
        return dt_err_set(err, DT_E_NOT_FOUND, "Volume with %s %.256s not found",
                          how == DT_VOLUME_BY_NAME ? "name" : "ID", key);
    return result;
}

int dt_store_volume_move(struct dt_db_conn *c, const struct dt_volume_row *r, struct dt_err *err)
{
    return dt_db_run(
        c,
        "UPDATE volume SET state = ?2, name = ?3, error_reason = ?4, updated_ms = ?5 WHERE id = ?1",
        DT_DB_ARGS(dt_db_t(r->id), dt_db_t(dt_volume_state_text(r->state)), dt_db_t(r->name),
                   dt_db_t(r->error_reason), dt_db_i(r->updated_ms)),
        NULL, err);
}

int dt_store_volume_used(struct dt_db_conn *c, const char *id, int64_t now_ms, struct dt_err *err)
{
    return dt_db_run(c, "UPDATE volume SET last_used_ms = ?2 WHERE id = ?1",
                     DT_DB_ARGS(dt_db_t(id), dt_db_i(now_ms)), NULL, err);
}

int dt_store_volume_user(struct dt_db_conn *c, const struct dt_volume_row *r, char **ret,
                         struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT name FROM sandbox WHERE organization_id = ?1 AND volumes <> '[]' AND "
                    "state <> 'destroyed' AND EXISTS (SELECT 1 FROM json_each(volumes) AS one "
                    "WHERE json_extract(one.value, '$.volumeId') = ?2) LIMIT 1",
                    DT_DB_ARGS(dt_db_t(r->org), dt_db_t(r->id)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    char *name = got > 0 ? strdup(dt_db_text(q, 0)) : NULL;
    dt_db_end(q);
    if (got < 0)
        return -1;
    if (got > 0 && name == NULL)
        return dt_err_set(err, DT_E_NOMEM, "store: volume");
    *ret = name;
    return 0;
}

static int each_row(struct dt_db_rows *q,
                    int (*each)(void *ctx, struct dt_volume_row *r, struct dt_err *err), void *ctx,
                    struct dt_err *err)
{
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        struct dt_volume_row r;
        got = read_row(q, &r, err);
        if (got == 0) {
            got = each(ctx, &r, err);
            dt_volume_row_done(&r);
        }
        if (got < 0)
            break;
    }
    dt_db_end(q);
    return got;
}

int dt_store_volume_list(struct dt_db_conn *c, const char *org, bool deleted,
                         int (*each)(void *ctx, struct dt_volume_row *r, struct dt_err *err),
                         void *ctx, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT " COLUMNS " FROM volume WHERE organization_id = ?1 AND "
                    "(?2 OR state <> 'deleted') "
                    "ORDER BY last_used_ms DESC NULLS LAST, created_ms DESC, id",
                    DT_DB_ARGS(dt_db_t(org), dt_db_i(deleted)), &q, err) < 0)
        return -1;
    return each_row(q, each, ctx, err);
}

int dt_store_volume_moving(struct dt_db_conn *c,
                           int (*each)(void *ctx, struct dt_volume_row *r, struct dt_err *err),
                           void *ctx, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT " COLUMNS " FROM volume WHERE state IN ('pending_create', 'creating', "
                    "'pending_delete', 'deleting')",
                    NULL, &q, err) < 0)
        return -1;
    return each_row(q, each, ctx, err);
}

int dt_store_volume_sweep(struct dt_db_conn *c, int64_t before_ms, struct dt_err *err)
{
    return dt_db_run(c, "DELETE FROM volume WHERE state = 'deleted' AND updated_ms < ?1",
                     DT_DB_ARGS(dt_db_i(before_ms)), NULL, err);
}
