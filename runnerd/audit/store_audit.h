/*
 * The audit log in the store (core/model/audit.h says what it is). All of these run inside a job
 * (db/db.h) or on a connection of their own; only one process writes.
 */
#ifndef DT_STORE_AUDIT_H
#define DT_STORE_AUDIT_H

#include "db/conn.h"
#include "model/audit.h"

/* One end of the chain. */
struct dt_audit_end_seal {
    int64_t seq;
    uint8_t hash[DT_HASH_SIZE];
    bool sealed; /* it is there and under this key */
};

/* The seals of a log that has no record yet; leaves those that are there. */
int dt_store_audit_init(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE],
                        struct dt_err *err) DT_MUST_CHECK;
/* `name` is "first" (what stood before the first record) or "last". */
int dt_store_audit_seal(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE], const char *name,
                        struct dt_audit_end_seal *ret, struct dt_err *err) DT_MUST_CHECK;

/* Adds a record; r->seq is set. When the seal does not fit, a record that says so comes first. A
 * second end of an action is left out. */
int dt_store_audit_add(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE],
                       struct dt_audit_record *r, struct dt_err *err) DT_MUST_CHECK;
/* The action of record `seq` is under way at `now_ms`: that counts as its beginning for the next.
 */
int dt_store_audit_keep_open(struct dt_db_conn *c, int64_t seq, int64_t now_ms,
                             struct dt_err *err) DT_MUST_CHECK;
/* Adds records with status 0 for actions that began before `before_ms` and have no end. */
int dt_store_audit_give_up(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE],
                           int64_t before_ms, struct dt_err *err) DT_MUST_CHECK;
/* Removes what is older than `before_ms` from the beginning, at most `max` records. */
int dt_store_audit_prune(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE], int64_t before_ms,
                         int64_t max, struct dt_err *err) DT_MUST_CHECK;

/* --- reading --- */

/* An action: its first record with the status, target and error of its second (-1, NULL before). */
struct dt_audit_filter {
    const char *org;         /* NULL: all, and those of none */
    int64_t from_ms, to_ms;  /* both inclusive */
    int64_t after_ms, after; /* behind that one, newest first; after 0: from the newest */
    int64_t offset, limit;
};
/* Newest first; *total counts all that match, whatever limit, offset and after say. */
int dt_store_audit_list(struct dt_db_conn *c, const struct dt_audit_filter *f,
                        int (*each)(void *ctx, const struct dt_audit_record *r, struct dt_err *err),
                        void *ctx, int64_t *total, struct dt_err *err) DT_MUST_CHECK;

/* Every record as it stands there, in the order of seq. */
struct dt_audit_row {
    struct dt_audit_record r;
    struct dt_str previous, hash;
};
int dt_store_audit_walk(struct dt_db_conn *c,
                        int (*each)(void *ctx, const struct dt_audit_row *row, struct dt_err *err),
                        void *ctx, struct dt_err *err) DT_MUST_CHECK;

#endif
