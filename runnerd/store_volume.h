/* The rows of volumes and the statements on them, as in store.h. */
#ifndef DT_STORE_VOLUME_H
#define DT_STORE_VOLUME_H

#include "model/volume.h"
#include "runnerd/store.h"

/* Texts are owned (free()), NULL = SQL's NULL. */
struct dt_volume_row {
    char id[DT_UUID_SIZE];
    char org[DT_UUID_SIZE];
    char *name;
    enum dt_volume_state state;
    int64_t size_bytes;
    char *error_reason;
    int64_t created_ms, updated_ms;
    int64_t last_used_ms; /* 0 = never */
};

void dt_volume_row_done(struct dt_volume_row *r);

/* CONFLICT when the name is taken by one that is not deleted. */
int dt_store_volume_insert(struct dt_db_conn *c, const struct dt_volume_row *r,
                           struct dt_err *err) DT_MUST_CHECK;
/* How many count towards the quota: all but deleted ones and those in state error. */
int dt_store_volume_count(struct dt_db_conn *c, const char *org, int64_t *ret,
                          struct dt_err *err) DT_MUST_CHECK;
/* How dt_store_volume_get() takes `key`. */
enum dt_volume_key { DT_VOLUME_BY_ID, DT_VOLUME_BY_NAME, DT_VOLUME_BY_EITHER };
/* One that is not deleted, of that organization; an id goes before a name. NOT_FOUND. *r is set on
 * success only. */
int dt_store_volume_get(struct dt_db_conn *c, const char *org, const char *key,
                        enum dt_volume_key how, struct dt_volume_row *r,
                        struct dt_err *err) DT_MUST_CHECK;
/* Writes state, name, error_reason and updated_ms. */
int dt_store_volume_move(struct dt_db_conn *c, const struct dt_volume_row *r,
                         struct dt_err *err) DT_MUST_CHECK;
/* It is mounted now. */
int dt_store_volume_used(struct dt_db_conn *c, const char *id, int64_t now_ms,
                         struct dt_err *err) DT_MUST_CHECK;
/* The name of a sandbox that has it, running or not: free() it; *ret is NULL when there is none. */
int dt_store_volume_user(struct dt_db_conn *c, const struct dt_volume_row *r, char **ret,
                         struct dt_err *err) DT_MUST_CHECK;
/* Calls `each` for every row (which it may empty by moving it), the last used first. */
int dt_store_volume_list(struct dt_db_conn *c, const char *org, bool deleted,
                         int (*each)(void *ctx, struct dt_volume_row *r, struct dt_err *err),
                         void *ctx, struct dt_err *err) DT_MUST_CHECK;
/* Those of all organizations for which something is to be done. */
int dt_store_volume_moving(struct dt_db_conn *c,
                           int (*each)(void *ctx, struct dt_volume_row *r, struct dt_err *err),
                           void *ctx, struct dt_err *err) DT_MUST_CHECK;
/* Removes the rows of volumes deleted before `before_ms`. */
int dt_store_volume_sweep(struct dt_db_conn *c, int64_t before_ms,
                          struct dt_err *err) DT_MUST_CHECK;

#endif
