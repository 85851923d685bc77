#include "runnerd/store.h"

#include <stdio.h>

#include "base/clock.h"

#define SNAPSHOT_COLUMNS                                                                           \
    "id, name, image_name, state, layers, config, size_bytes, cpu_millis, memory_mib, disk_mib, "  \
    "error_reason, created_ms, updated_ms, last_used_ms"

void dt_snapshot_row_done(struct dt_snapshot_row *r)
{
    char *owned[] = {r->name, r->image_name, r->state, r->layers, r->config, r->error_reason};
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
        free(owned[i]);
    memset(r, 0, sizeof(*r));
}

int dt_store_snapshot_put(struct dt_db_conn *c, const struct dt_snapshot_row *r, struct dt_err *err)
{
    return dt_db_run(
        c,
        "INSERT INTO snapshot (" SNAPSHOT_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
        "?10, ?11, ?12, ?13, NULL) ON CONFLICT (name) DO UPDATE SET image_name = ?3, state = ?4, "
        "layers = ?5, config = ?6, size_bytes = ?7, cpu_millis = ?8, memory_mib = ?9, "
        "disk_mib = ?10, error_reason = ?11, updated_ms = ?13",
        DT_DB_ARGS(dt_db_t(r->id), dt_db_t(r->name), dt_db_t(r->image_name), dt_db_t(r->state),
                   dt_db_t(r->layers), dt_db_t(r->config), dt_db_i(r->size_bytes),
                   dt_db_i(r->res.cpu_millis), dt_db_i(r->res.memory_mib), dt_db_i(r->res.disk_mib),
                   dt_db_t(r->error_reason), dt_db_i(r->created_ms), dt_db_i(r->updated_ms)),
        NULL, err);
}

static char *copy(const char *z, bool *failed)
{
    char *p = z != NULL ? strdup(z) : NULL;
    *failed = *failed || (z != NULL && p == NULL);
    return p;
}

static int read_snapshot(struct dt_db_rows *q, struct dt_snapshot_row *ret, struct dt_err *err)
{
    bool failed = false;
    struct dt_snapshot_row r = {
        .name = copy(dt_db_text(q, 1), &failed),
        .image_name = copy(dt_db_text(q, 2), &failed),
        .state = copy(dt_db_text(q, 3), &failed),
        .layers = copy(dt_db_text(q, 4), &failed),
        .config = copy(dt_db_text(q, 5), &failed),
        .size_bytes = dt_db_int(q, 6),
        .res = {dt_db_int(q, 7), dt_db_int(q, 8), dt_db_int(q, 9)},
        .error_reason = copy(dt_db_text(q, 10), &failed),
        .created_ms = dt_db_int(q, 11),
        .updated_ms = dt_db_int(q, 12),
        .last_used_ms = dt_db_int(q, 13),
    };
    (void)snprintf(r.id, sizeof(r.id), "%s", dt_db_text(q, 0));
    if (failed) {
        dt_snapshot_row_done(&r);
        return dt_err_set(err, DT_E_NOMEM, "store: snapshot");
    }
    *ret = r;
    return 0;
}

int dt_store_snapshot_get(struct dt_db_conn *c, const char *id_or_name, struct dt_snapshot_row *r,
                          struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT " SNAPSHOT_COLUMNS " FROM snapshot WHERE name = ?1 OR id = ?1 "
                    "ORDER BY name = ?1 DESC LIMIT 1",
                    DT_DB_ARGS(dt_db_t(id_or_name)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    int result = got > 0 ? read_snapshot(q, r, err) : -1;
    dt_db_end(q);
    if (got == 0)
        return dt_err_set(err, DT_E_NOT_FOUND, "Snapshot with name %s not found", id_or_name);
    return result;
}

#define SNAPSHOT_MATCHES "name NOT GLOB '.*' AND (?1 IS NULL OR instr(lower(name), lower(?1)) > 0) "

static int count_snapshots(struct dt_db_conn *c, const char *part, int64_t *ret, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT count(*) FROM snapshot WHERE " SNAPSHOT_MATCHES,
                    DT_DB_ARGS(dt_db_t(part)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    *ret = got > 0 ? dt_db_int(q, 0) : 0;
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

#define SNAPSHOT_KEY                                                                               \
    "CASE ?4 WHEN 'state' THEN state WHEN 'lastUsedAt' THEN last_used_ms "                         \
    "WHEN 'createdAt' THEN created_ms ELSE name END "
#define SNAPSHOT_ORDER                                                                             \
    "ORDER BY CASE WHEN ?5 = 'asc' THEN " SNAPSHOT_KEY "END ASC NULLS LAST, "                      \
    "CASE WHEN ?5 <> 'asc' THEN " SNAPSHOT_KEY "END DESC NULLS LAST, name "

int dt_store_snapshot_list(struct dt_db_conn *c, const struct dt_snapshot_filter *f,
                           int (*each)(void *ctx, struct dt_snapshot_row *r, struct dt_err *err),
                           void *ctx, int64_t *total, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (count_snapshots(c, f->part, total, err) < 0 ||
        dt_db_query(c,
                    "SELECT " SNAPSHOT_COLUMNS
                    " FROM snapshot WHERE " SNAPSHOT_MATCHES SNAPSHOT_ORDER "LIMIT ?2 OFFSET ?3",
                    DT_DB_ARGS(dt_db_t(f->part), dt_db_i(f->limit), dt_db_i(f->offset),
                               dt_db_t(f->sort != NULL ? f->sort : "name"),
                               dt_db_t(f->order != NULL ? f->order : "asc")),
                    &q, err) < 0)
        return -1;
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        struct dt_snapshot_row r;
        got = read_snapshot(q, &r, err);
        if (got == 0) {
            got = each(ctx, &r, err);
            dt_snapshot_row_done(&r);
        }
        if (got < 0)
            break;
    }
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

int dt_store_signed_put(struct dt_db_conn *c, const struct dt_signed_row *r, struct dt_err *err)
{
    return dt_db_run(c, "INSERT INTO signed_url VALUES (?1, ?2, ?3, ?4)",
                     DT_DB_ARGS(dt_db_b(r->hash, sizeof(r->hash)), dt_db_t(r->sandbox),
                                dt_db_i(r->port), dt_db_i(r->expires_ms)),
                     NULL, err);
}

int dt_store_signed_drop(struct dt_db_conn *c, const uint8_t hash[DT_HASH_SIZE], struct dt_err *err)
{
    return dt_db_run(c, "DELETE FROM signed_url WHERE hash = ?1",
                     DT_DB_ARGS(dt_db_b(hash, DT_HASH_SIZE)), NULL, err);
}

int dt_store_signed_all(struct dt_db_conn *c, int64_t now_ms,
                        int (*each)(void *ctx, const struct dt_signed_row *r, struct dt_err *err),
                        void *ctx, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT hash, sandbox_id, port, expires_ms FROM signed_url "
                    "WHERE expires_ms > ?1",
                    DT_DB_ARGS(dt_db_i(now_ms)), &q, err) < 0)
        return -1;
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        struct dt_signed_row r = {.port = (uint16_t)dt_db_int(q, 2), .expires_ms = dt_db_int(q, 3)};
        struct dt_str hash = dt_db_blob(q, 0);
        memcpy(r.hash, hash.p, hash.n < sizeof(r.hash) ? hash.n : sizeof(r.hash));
        (void)snprintf(r.sandbox, sizeof(r.sandbox), "%s", dt_db_text(q, 1));
        if (each(ctx, &r, err) < 0) {
            got = -1;
            break;
        }
    }
    dt_db_end(q);
    return got;
}
