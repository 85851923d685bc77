#include "runnerd/store_usage.h"

#include <stdio.h>

struct period {
    int64_t id; /* 0: none lasts */
    int64_t from_ms;
    struct dt_resources had;
};

static int find_open(struct dt_db_conn *c, const char *sandbox, struct period *ret,
                     struct dt_err *err)
{
    struct dt_db_rows *q;
    *ret = (struct period){.id = 0};
    if (dt_db_query(c,
                    "SELECT id, from_ms, cpu_millis, memory_mib, disk_mib FROM usage_period "
                    "WHERE sandbox_id = ?1 AND to_ms IS NULL",
                    DT_DB_ARGS(dt_db_t(sandbox)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    if (got > 0)
        *ret = (struct period){
            dt_db_int(q, 0), dt_db_int(q, 1), {dt_db_int(q, 2), dt_db_int(q, 3), dt_db_int(q, 4)}};
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

static int open_period(struct dt_db_conn *c, const struct dt_sandbox_row *r,
                       const struct dt_resources *has, int64_t from_ms, struct dt_err *err)
{
    return dt_db_run(c,
                     "INSERT INTO usage_period (sandbox_id, organization_id, region, cpu_millis, "
                     "memory_mib, disk_mib, from_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                     DT_DB_ARGS(dt_db_t(r->id), dt_db_t(r->org), dt_db_t(r->target),
                                dt_db_i(has->cpu_millis), dt_db_i(has->memory_mib),
                                dt_db_i(has->disk_mib), dt_db_i(from_ms)),
                     NULL, err);
}

int dt_store_usage_note(struct dt_db_conn *c, const struct dt_sandbox_row *r, struct dt_err *err)
{
    struct period p;
    const struct dt_resources has =
        dt_resources_share(&r->res, dt_sandbox_shares(r->state, r->desired));
    if (find_open(c, r->id, &p, err) < 0)
        return -1;
    if (dt_resources_equal(&p.had, &has))
        return 0;
    /* A clock that went back makes no period of less than nothing. */
    int64_t now = p.id != 0 && r->updated_ms < p.from_ms ? p.from_ms : r->updated_ms;
    if (p.id != 0 && dt_db_run(c, "UPDATE usage_period SET to_ms = ?2 WHERE id = ?1",
                               DT_DB_ARGS(dt_db_i(p.id), dt_db_i(now)), NULL, err) < 0)
        return -1;
    const struct dt_resources none = {0};
    return dt_resources_equal(&has, &none) ? 0 : open_period(c, r, &has, now, err);
}

/* Of each period its part in the window: ?1 organization, ?2 sandbox, ?3 from, ?4 to, ?5 now. */
#define PARTS                                                                                      \
    "(SELECT sandbox_id AS id, cpu_millis AS cpu, memory_mib AS memory, disk_mib AS disk, "        \
    "min(coalesce(to_ms, ?5), ?4) - max(from_ms, ?3) AS ms FROM usage_period "                     \
    "WHERE organization_id = ?1 AND (?2 IS NULL OR sandbox_id = ?2) AND from_ms < ?4 AND "         \
    "(to_ms IS NULL OR to_ms > ?3)) "

/* Centuries of a large organization end at the largest number instead of failing. */
#define SUMS                                                                                       \
    "CAST(total(cpu * ms) AS INTEGER), CAST(total(memory * ms) AS INTEGER), "                      \
    "CAST(total(disk * ms) AS INTEGER)"

static struct dt_usage read_usage(struct dt_db_rows *rows)
{
    struct dt_usage u = {
        .cpu = dt_db_int(rows, 1), .memory = dt_db_int(rows, 2), .disk = dt_db_int(rows, 3)};
    const char *id = dt_db_text(rows, 0);
    (void)snprintf(u.sandbox, sizeof(u.sandbox), "%s", id != NULL ? id : "");
    return u;
}

int dt_store_usage_each(struct dt_db_conn *c, const struct dt_usage_query *q,
                        int (*each)(void *ctx, const struct dt_usage *u, struct dt_err *err),
                        void *ctx, struct dt_err *err)
{
    struct dt_db_rows *rows;
    if (dt_db_query(c,
                    "SELECT id, " SUMS " FROM " PARTS
                    "WHERE ms > 0 AND (?6 IS NULL OR id > ?6) GROUP BY id ORDER BY id LIMIT ?7",
                    DT_DB_ARGS(dt_db_t(q->org), dt_db_t(q->sandbox), dt_db_i(q->from_ms),
                               dt_db_i(q->to_ms), dt_db_i(q->now_ms), dt_db_t(q->after),
                               dt_db_i(q->limit)),
                    &rows, err) < 0)
        return -1;
    int got;
    while ((got = dt_db_next(rows, err)) > 0) {
        const struct dt_usage u = read_usage(rows);
        if (each(ctx, &u, err) < 0) {
            got = -1;
            break;
        }
    }
    dt_db_end(rows);
    return got;
}

int dt_store_usage_total(struct dt_db_conn *c, const struct dt_usage_query *q, struct dt_usage *ret,
                         int64_t *sandboxes, struct dt_err *err)
{
    struct dt_db_rows *rows;
    if (dt_db_query(c, "SELECT NULL, " SUMS ", count(DISTINCT id) FROM " PARTS "WHERE ms > 0",
                    DT_DB_ARGS(dt_db_t(q->org), dt_db_t(q->sandbox), dt_db_i(q->from_ms),
                               dt_db_i(q->to_ms), dt_db_i(q->now_ms)),
                    &rows, err) < 0)
        return -1;
    int got = dt_db_next(rows, err);
    if (got > 0) {
        *ret = read_usage(rows);
        *sandboxes = dt_db_int(rows, 4);
    }
    dt_db_end(rows);
    return got > 0 ? 0 : -1;
}
