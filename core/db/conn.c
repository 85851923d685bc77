#include "db/conn.h"

#include <sqlite3.h>

enum { KEPT_MAX = 384, KEPT_SLOTS = 1024 };

struct dt_db_rows {
    sqlite3_stmt *stmt;
    struct dt_db_conn *conn;
};

struct kept {
    const char *sql;
    struct dt_db_rows rows;
};

struct dt_db_conn {
    sqlite3 *db;
    struct kept kept[KEPT_MAX];
    size_t nkept;
    uint16_t slots[KEPT_SLOTS]; /* by address of the text: index + 1; 0 = free */
};

static int fail(struct dt_db_conn *c, const char *what, struct dt_err *err)
{
    int code = sqlite3_errcode(c->db) & 0xff;
    enum dt_err_code kind = code == SQLITE_CONSTRAINT                      ? DT_E_CONFLICT
                            : code == SQLITE_BUSY || code == SQLITE_LOCKED ? DT_E_UNAVAILABLE
                            : code == SQLITE_NOMEM                         ? DT_E_NOMEM
                                                                           : DT_E_SYSTEM;
    return dt_err_set(err, kind, "store: %s: %s", what, sqlite3_errmsg(c->db));
}

int dt_db_conn_open(const char *path, struct dt_db_conn **ret, struct dt_err *err)
{
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return dt_err_set(err, DT_E_NOMEM, "store");
    if (sqlite3_open_v2(path, &c->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                            SQLITE_OPEN_NOFOLLOW,
                        NULL) != SQLITE_OK) {
        if (c->db == NULL)
            return dt_err_set(err, DT_E_NOMEM, "store %s", path);
        return fail(c, path, err);
    }
    (void)sqlite3_busy_timeout(c->db, DT_DB_BUSY_MS);
    (void)sqlite3_extended_result_codes(c->db, 1);
    /* The page cache is small: the rows are few and the file is in the kernel's cache anyway. */
    if (dt_db_script(c,
                     "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; "
                     "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; "
                     "PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY",
                     err) < 0)
        return dt_err_wrap(err, "%s", path);
    *ret = dt_take(c);
    return 0;
}

struct dt_db_conn *dt_db_conn_close(struct dt_db_conn *c)
{
    if (c == NULL)
        return NULL;
    for (size_t i = 0; i < c->nkept; i++)
        (void)sqlite3_finalize(c->kept[i].rows.stmt);
    (void)sqlite3_close(c->db);
    free(c);
    return NULL;
}

int dt_db_script(struct dt_db_conn *c, const char *sql, struct dt_err *err)
{
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(c, "script", err);
}

int dt_db_begin(struct dt_db_conn *c, bool write, struct dt_err *err)
{
    return write ? dt_db_run(c, "BEGIN IMMEDIATE", NULL, NULL, err)
                 : dt_db_run(c, "BEGIN", NULL, NULL, err);
}

int dt_db_commit(struct dt_db_conn *c, struct dt_err *err)
{
    return dt_db_run(c, "COMMIT", NULL, NULL, err);
}

void dt_db_rollback(struct dt_db_conn *c)
{
    struct dt_err ignored;
    /* Some failures have ended the transaction already. */
    if (!sqlite3_get_autocommit(c->db))
        (void)!dt_db_run(c, "ROLLBACK", NULL, NULL, &ignored);
}

static struct dt_db_rows *kept_statement(struct dt_db_conn *c, const char *sql, struct dt_err *err)
{
    size_t slot = ((uintptr_t)sql >> 3) % KEPT_SLOTS;
    for (; c->slots[slot] != 0; slot = (slot + 1) % KEPT_SLOTS) {
        struct kept *k = &c->kept[c->slots[slot] - 1];
        if (k->sql == sql)
            return &k->rows;
    }
    if (c->nkept == KEPT_MAX) {
        (void)dt_err_set(err, DT_E_SYSTEM, "store: too many different statements");
        return NULL;
    }
    struct kept *k = &c->kept[c->nkept];
    if (sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &k->rows.stmt, NULL) !=
        SQLITE_OK) {
        (void)fail(c, sql, err);
        return NULL;
    }
    k->sql = sql;
    k->rows.conn = c;
    c->nkept++;
    c->slots[slot] = (uint16_t)c->nkept;
    return &k->rows;
}

static int bind(sqlite3_stmt *s, int index, const struct dt_db_arg *a)
{
    const char *p = a->s.p != NULL ? a->s.p : "";
    switch (a->kind) {
    case DT_DB_INT:
        return sqlite3_bind_int64(s, index, a->i);
    case DT_DB_TEXT:
        return sqlite3_bind_text64(s, index, p, a->s.n, SQLITE_STATIC, SQLITE_UTF8);
    case DT_DB_BLOB:
        return sqlite3_bind_blob64(s, index, p, a->s.n, SQLITE_STATIC);
    case DT_DB_NULL:
    case DT_DB_END:
        break;
    }
    return sqlite3_bind_null(s, index);
}

int dt_db_query(struct dt_db_conn *c, const char *sql, const struct dt_db_arg *args,
                struct dt_db_rows **ret, struct dt_err *err)
{
    struct dt_db_rows *r = kept_statement(c, sql, err);
    if (r == NULL)
        return -1;
    int index = 0;
    for (; args != NULL && args[index].kind != DT_DB_END; index++) {
        if (bind(r->stmt, index + 1, &args[index]) != SQLITE_OK) {
            dt_db_end(r);
            return fail(c, sql, err);
        }
    }
    if (index != sqlite3_bind_parameter_count(r->stmt)) {
        dt_db_end(r);
        return dt_err_set(err, DT_E_SYSTEM, "store: %d arguments for: %s", index, sql);
    }
    *ret = r;
    return 0;
}

int dt_db_next(struct dt_db_rows *r, struct dt_err *err)
{
    int code = sqlite3_step(r->stmt);
    if (code == SQLITE_ROW)
        return 1;
    return code == SQLITE_DONE ? 0 : fail(r->conn, sqlite3_sql(r->stmt), err);
}

void dt_db_end(struct dt_db_rows *r)
{
    (void)sqlite3_reset(r->stmt);
    (void)sqlite3_clear_bindings(r->stmt);
}

int dt_db_run(struct dt_db_conn *c, const char *sql, const struct dt_db_arg *args, int64_t *changed,
              struct dt_err *err)
{
    struct dt_db_rows *r;
    if (dt_db_query(c, sql, args, &r, err) < 0)
        return -1;
    int got = dt_db_next(r, err);
    if (got >= 0 && changed != NULL)
        *changed = sqlite3_changes64(c->db);
    dt_db_end(r);
    return got < 0 ? -1 : 0;
}

int64_t dt_db_int(struct dt_db_rows *r, int column)
{
    return sqlite3_column_int64(r->stmt, column);
}

const char *dt_db_text(struct dt_db_rows *r, int column)
{
    return (const char *)sqlite3_column_text(r->stmt, column);
}

struct dt_str dt_db_blob(struct dt_db_rows *r, int column)
{
    const char *p = sqlite3_column_blob(r->stmt, column);
    return dt_str(p, (size_t)sqlite3_column_bytes(r->stmt, column));
}

bool dt_db_is_null(struct dt_db_rows *r, int column)
{
    return sqlite3_column_type(r->stmt, column) == SQLITE_NULL;
}
