#include "runnerd/store_registry.h"

#include <stdio.h>

#include "base/clock.h"

#define COLUMNS                                                                                    \
    "id, organization_id, name, url, username, project, type, password, is_default, created_ms, "  \
    "updated_ms"

static int not_found(const char *id, struct dt_err *err)
{
    return dt_err_set(err, DT_E_NOT_FOUND, "Docker registry with ID %.64s not found", id);
}

static int check_room(struct dt_db_conn *c, const char *org, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT count(*) FROM registry WHERE organization_id = ?1",
                    DT_DB_ARGS(dt_db_t(org)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    bool full = got > 0 && dt_db_int(q, 0) >= DT_REGISTRIES_MAX;
    dt_db_end(q);
    if (got < 0)
        return -1;
    return full ? dt_err_set(err, DT_E_FORBIDDEN,
                             "You have reached the maximum number of registries")
                : 0;
}

/* One of each type is the default. */
static int clear_default(struct dt_db_conn *c, const char *type, struct dt_err *err)
{
    return dt_db_run(c, "UPDATE registry SET is_default = 0 WHERE type = ?1",
                     DT_DB_ARGS(dt_db_t(type)), NULL, err);
}

int dt_store_registry_add(struct dt_db_conn *c, const struct dt_registry_row *r, struct dt_err *err)
{
    if (check_room(c, r->org, err) < 0 || (r->is_default && clear_default(c, r->type, err) < 0))
        return -1;
    return dt_db_run(c,
                     "INSERT INTO registry (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
                     "?9, ?10, ?10)",
                     DT_DB_ARGS(dt_db_t(r->id), dt_db_t(r->org), dt_db_t(r->name), dt_db_t(r->url),
                                dt_db_t(r->username), dt_db_t(r->project), dt_db_t(r->type),
                                dt_db_b(r->password.p, r->password.n), dt_db_i(r->is_default),
                                dt_db_i(dt_clock_real_ms())),
                     NULL, err);
}

int dt_store_registry_edit(struct dt_db_conn *c, const struct dt_registry_row *r,
                           struct dt_err *err)
{
    int64_t changed = 0;
    struct dt_db_arg password =
        r->password.n > 0 ? dt_db_b(r->password.p, r->password.n) : dt_db_null();
    if (dt_db_run(c,
                  "UPDATE registry SET name = ?3, url = ?4, username = ?5, project = "
                  "coalesce(?6, project), password = coalesce(?7, password), updated_ms = ?8 "
                  "WHERE id = ?1 AND organization_id = ?2",
                  DT_DB_ARGS(dt_db_t(r->id), dt_db_t(r->org), dt_db_t(r->name), dt_db_t(r->url),
                             dt_db_t(r->username), dt_db_t(r->project), password,
                             dt_db_i(dt_clock_real_ms())),
                  &changed, err) < 0)
        return -1;
    return changed == 1 ? 0 : not_found(r->id, err);
}

int dt_store_registry_delete(struct dt_db_conn *c, const char *org, const char *id,
                             struct dt_err *err)
{
    int64_t changed = 0;
    if (dt_db_run(c, "DELETE FROM registry WHERE id = ?1 AND organization_id = ?2",
                  DT_DB_ARGS(dt_db_t(id), dt_db_t(org)), &changed, err) < 0)
        return -1;
    return changed == 1 ? 0 : not_found(id, err);
}

int dt_store_registry_set_default(struct dt_db_conn *c, const char *id, struct dt_err *err)
{
    int64_t changed = 0;
    if (dt_db_run(c,
                  "UPDATE registry SET is_default = 0 WHERE type = (SELECT type FROM registry "
                  "WHERE id = ?1)",
                  DT_DB_ARGS(dt_db_t(id)), NULL, err) < 0 ||
        dt_db_run(c, "UPDATE registry SET is_default = 1, updated_ms = ?2 WHERE id = ?1",
                  DT_DB_ARGS(dt_db_t(id), dt_db_i(dt_clock_real_ms())), &changed, err) < 0)
        return -1;
    return changed == 1 ? 0 : not_found(id, err);
}

static int show(struct dt_db_rows *q, dt_store_registry_each *each, void *ctx, struct dt_err *err)
{
    struct dt_registry_row r = {
        .name = dt_db_text(q, 2),
        .url = dt_db_text(q, 3),
        .username = dt_db_text(q, 4),
        .project = dt_db_text(q, 5),
        .type = dt_db_text(q, 6),
        .password = dt_db_blob(q, 7),
        .is_default = dt_db_int(q, 8) != 0,
        .created_ms = dt_db_int(q, 9),
        .updated_ms = dt_db_int(q, 10),
    };
    (void)snprintf(r.id, sizeof(r.id), "%s", dt_db_text(q, 0));
    (void)snprintf(r.org, sizeof(r.org), "%s", dt_db_text(q, 1));
    return each(ctx, &r, err);
}

int dt_store_registry_get(struct dt_db_conn *c, const char *org, const char *id,
                          dt_store_registry_each *each, void *ctx, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT " COLUMNS " FROM registry WHERE id = ?1 AND (?2 IS NULL OR "
                    "organization_id = ?2)",
                    DT_DB_ARGS(dt_db_t(id), dt_db_t(org)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    int result = got > 0 ? show(q, each, ctx, err) : got;
    dt_db_end(q);
    return got == 0 ? not_found(id, err) : result;
}

int dt_store_registry_list(struct dt_db_conn *c, const char *org, dt_store_registry_each *each,
                           void *ctx, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT " COLUMNS " FROM registry WHERE organization_id = ?1 "
                    "ORDER BY created_ms DESC, id DESC",
                    DT_DB_ARGS(dt_db_t(org)), &q, err) < 0)
        return -1;
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        if (show(q, each, ctx, err) < 0) {
            got = -1;
            break;
        }
    }
    dt_db_end(q);
    return got;
}
