#include "db/migrate.h"

/* 1, 0 or -1. */
static int is_applied(struct dt_db_conn *c, int number, struct dt_err *err)
{
    struct dt_db_rows *rows;
    if (dt_db_query(c, "SELECT 1 FROM migration WHERE number = ?1", DT_DB_ARGS(dt_db_i(number)),
                    &rows, err) < 0)
        return -1;
    int there = dt_db_next(rows, err);
    dt_db_end(rows);
    return there;
}

static int apply(struct dt_db_conn *c, const struct dt_db_migration *m, struct dt_err *err)
{
    if (dt_db_begin(c, true, err) < 0)
        return -1;
    /* Another program may have been faster while we waited for the lock. */
    int there = is_applied(c, m->number, err);
    if (there < 0)
        goto undo;
    if (there > 0)
        return dt_db_commit(c, err);
    if (dt_db_script(c, m->sql, err) < 0 ||
        dt_db_run(c, "INSERT INTO migration VALUES (?1, ?2)",
                  DT_DB_ARGS(dt_db_i(m->number), dt_db_t(m->name)), NULL, err) < 0 ||
        dt_db_commit(c, err) < 0)
        goto undo;
    return 0;
undo:
    dt_db_rollback(c);
    return dt_err_wrap(err, "migration %s", m->name);
}

int dt_db_migrate(struct dt_db_conn *c, const struct dt_db_migration *table, struct dt_err *err)
{
    int64_t have = 0;
    struct dt_db_rows *rows;
    if (dt_db_script(c,
                     "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, "
                     "name TEXT NOT NULL) STRICT",
                     err) < 0 ||
        dt_db_query(c, "SELECT coalesce(max(number), 0) FROM migration", NULL, &rows, err) < 0)
        return -1;
    int found = dt_db_next(rows, err);
    if (found > 0)
        have = dt_db_int(rows, 0);
    dt_db_end(rows);
    if (found < 0)
        return -1;
    int64_t known = 0;
    for (const struct dt_db_migration *m = table; m->number != 0; m++) {
        /* Not by the highest number: of two that were made side by side either may come first. */
        int there = is_applied(c, m->number, err);
        if (there < 0 || (there == 0 && apply(c, m, err) < 0))
            return -1;
        known = m->number;
    }
    if (have > known)
        return dt_err_set(err, DT_E_UNSUPPORTED,
                          "the store was made by a newer version (migration %lld, this program "
                          "knows %lld): install that version again",
                          (long long)have, (long long)known);
    return 0;
}
