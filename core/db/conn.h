/*
 * One connection to the SQLite file: statements that are prepared once and kept, typed arguments
 * and columns. One thread at a time. Errors: CONFLICT for a violated constraint, UNAVAILABLE when
 * another process holds the file for too long, SYSTEM for the rest.
 */
#ifndef DT_DB_CONN_H
#define DT_DB_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct dt_db_conn;
struct dt_db_rows; /* a statement that runs */

struct dt_db_arg {
    enum { DT_DB_END, DT_DB_INT, DT_DB_TEXT, DT_DB_BLOB, DT_DB_NULL } kind;
    int64_t i;
    struct dt_str s; /* borrowed until the statement is over */
};

static inline struct dt_db_arg dt_db_i(int64_t v)
{
    return (struct dt_db_arg){.kind = DT_DB_INT, .i = v};
}
/* NULL is SQL's NULL. */
static inline struct dt_db_arg dt_db_t(const char *z)
{
    return (struct dt_db_arg){.kind = z != NULL ? DT_DB_TEXT : DT_DB_NULL, .s = dt_str_z(z)};
}
static inline struct dt_db_arg dt_db_b(const void *p, size_t n)
{
    return (struct dt_db_arg){.kind = DT_DB_BLOB, .s = dt_str(p, n)};
}
static inline struct dt_db_arg dt_db_null(void)
{
    return (struct dt_db_arg){.kind = DT_DB_NULL};
}
/* For ?1, ?2 ... of a statement. */
#define DT_DB_ARGS(...) ((const struct dt_db_arg[]){__VA_ARGS__, {0}})

enum { DT_DB_BUSY_MS = 5000 };

/* Opens or makes the file (mode 0600): WAL, synchronous=NORMAL, foreign keys, busy timeout. */
int dt_db_conn_open(const char *path, struct dt_db_conn **ret, struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine. Returns NULL. */
struct dt_db_conn *dt_db_conn_close(struct dt_db_conn *c);
DT_DEFINE_AUTO(struct dt_db_conn *, dt_db_conn_close)

/* `write` takes the write lock now instead of at the first change. */
int dt_db_begin(struct dt_db_conn *c, bool write, struct dt_err *err) DT_MUST_CHECK;
int dt_db_commit(struct dt_db_conn *c, struct dt_err *err) DT_MUST_CHECK;
void dt_db_rollback(struct dt_db_conn *c);

/* `sql` must be a literal: the prepared statement is kept under its address. `args` may be NULL.
 * Each query must be ended before the same one runs again. */
int dt_db_query(struct dt_db_conn *c, const char *sql, const struct dt_db_arg *args,
                struct dt_db_rows **ret, struct dt_err *err) DT_MUST_CHECK;
/* 1: a row; 0: no more; -1: failed. */
int dt_db_next(struct dt_db_rows *r, struct dt_err *err) DT_MUST_CHECK;
void dt_db_end(struct dt_db_rows *r);
/* Runs a statement without rows; *changed (may be NULL) is the number of rows it changed. */
int dt_db_run(struct dt_db_conn *c, const char *sql, const struct dt_db_arg *args, int64_t *changed,
              struct dt_err *err) DT_MUST_CHECK;
/* Several statements, not kept. */
int dt_db_script(struct dt_db_conn *c, const char *sql, struct dt_err *err) DT_MUST_CHECK;

/* Columns of the current row, from 0. Texts are borrowed until the next call on `r`; SQL's NULL is
 * 0 and NULL. */
int64_t dt_db_int(struct dt_db_rows *r, int column);
const char *dt_db_text(struct dt_db_rows *r, int column);
struct dt_str dt_db_blob(struct dt_db_rows *r, int column);
bool dt_db_is_null(struct dt_db_rows *r, int column);

#endif
