#include "runnerd/runner.h"

#include <stdio.h>

#include "base/clock.h"

static int read_row(struct dt_db_conn *c, struct dt_runner *r, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT id, unschedulable, draining, created_ms, updated_ms FROM runner",
                    NULL, &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    if (got > 0) {
        (void)snprintf(r->id, sizeof(r->id), "%s", dt_db_text(q, 0));
        r->unschedulable = dt_db_int(q, 1) != 0;
        r->draining = dt_db_int(q, 2) != 0;
        r->created_ms = dt_db_int(q, 3);
        r->updated_ms = dt_db_int(q, 4);
    }
    dt_db_end(q);
    return got;
}

int dt_runner_load(struct dt_runner *r, struct dt_db_conn *c, struct dt_err *err)
{
    char id[DT_UUID_SIZE];
    int got = read_row(c, r, err);
    if (got != 0)
        return got < 0 ? -1 : 0;
    dt_rand_uuid(id);
    if (dt_db_run(c, "INSERT OR IGNORE INTO runner VALUES (?1, 1, 0, 0, ?2, ?2)",
                  DT_DB_ARGS(dt_db_t(id), dt_db_i(dt_clock_real_ms())), NULL, err) < 0)
        return -1;
    return read_row(c, r, err) < 0 ? -1 : 0;
}

int dt_store_runner_edit(struct dt_db_conn *c, const struct dt_runner *r, struct dt_err *err)
{
    return dt_db_run(c,
                     "UPDATE runner SET unschedulable = ?2, draining = ?3, updated_ms = ?4 "
                     "WHERE id = ?1",
                     DT_DB_ARGS(dt_db_t(r->id), dt_db_i(r->unschedulable), dt_db_i(r->draining),
                                dt_db_i(r->updated_ms)),
                     NULL, err);
}
