/*
 * The rows of the store and the statements on them. All of these run inside a job (db/db.h) or, at
 * the start of the program, on a connection of their own. Times are milliseconds since 1970.
 */
#ifndef DT_STORE_H
#define DT_STORE_H

#include "base/rand.h"
#include "db/conn.h"
#include "json/json.h"
#include "model/create.h"
#include "model/sandbox.h"
#include "model/token.h"

/* Texts are owned (free()), NULL = SQL's NULL; env, labels and boot are JSON objects as text,
 * volumes is an array (mounts.h). */
struct dt_sandbox_row {
    char id[DT_UUID_SIZE];
    char org[DT_UUID_SIZE];
    char *name;
    char *snapshot;
    enum dt_sandbox_state state;
    enum dt_sandbox_desired desired;
    char *error_reason;
    char *user;
    char *env;
    char *labels;
    bool is_public;
    bool block_all;
    char *allow_list;
    char *target;
    char *class_name;
    struct dt_resources res;
    int64_t auto_stop, auto_archive, auto_delete, auto_pause;
    int64_t destroy_ms; /* when it is destroyed, whatever it does; 0 = never */
    int64_t starts;
    char *layers;
    char *boot;
    char *volumes;
    int64_t created_ms, updated_ms, activity_ms;
    enum dt_backup_state backup;
    int64_t backup_ms;     /* the last complete one; 0 = there was none */
    char *forked_from;     /* id of the sandbox whose files it began with */
    char *linked_to;       /* id of the sandbox that it is linked to */
    bool lost;             /* its files are neither on the disk nor in an archive */
    int64_t signing_epoch; /* read only; see dt_store_sandbox_rotate() */
};

void dt_sandbox_row_done(struct dt_sandbox_row *r);

/* Both this and _move keep the usage records in step. CONFLICT when the name is taken, FORBIDDEN
 * when the organization is gone. */
int dt_store_sandbox_insert(struct dt_db_conn *c, const struct dt_sandbox_row *r,
                            struct dt_err *err) DT_MUST_CHECK;
/* NOT_FOUND. *r is set on success only. */
int dt_store_sandbox_get(struct dt_db_conn *c, const char *id, struct dt_sandbox_row *r,
                         struct dt_err *err) DT_MUST_CHECK;
/* Of one that is destroyed now the log goes, too (store_log.h).
 * Writes state, desired, error_reason, name, resources, starts, backup, backup_ms, lost, updated_ms
 * and activity_ms of the row. */
int dt_store_sandbox_move(struct dt_db_conn *c, const struct dt_sandbox_row *r,
                          struct dt_err *err) DT_MUST_CHECK;
/* Writes labels, is_public, the intervals, the network's rules, updated_ms and activity_ms. */
int dt_store_sandbox_edit(struct dt_db_conn *c, const struct dt_sandbox_row *r,
                          struct dt_err *err) DT_MUST_CHECK;
/* Of the backup alone; `backup_ms` 0 leaves the time of the last one. */
int dt_store_sandbox_backup(struct dt_db_conn *c, const char *id, enum dt_backup_state state,
                            int64_t backup_ms, struct dt_err *err) DT_MUST_CHECK;
/* Begins another epoch of the sandbox's file URLs and says which. NOT_FOUND. */
int dt_store_sandbox_rotate(struct dt_db_conn *c, const char *id, int64_t *epoch,
                            struct dt_err *err) DT_MUST_CHECK;
int dt_store_sandbox_activity(struct dt_db_conn *c, const char *id, int64_t activity_ms,
                              struct dt_err *err) DT_MUST_CHECK;
/* Removes rows destroyed before `before_ms` and signed URLs that ended. */
int dt_store_sweep(struct dt_db_conn *c, int64_t now_ms, int64_t before_ms,
                   struct dt_err *err) DT_MUST_CHECK;

/* What a list shows. NULL = any; states, snapshots, regions and labels are JSON texts (arrays, an
 * object). */
struct dt_sandbox_filter {
    const char *org;
    const char *id_prefix, *name_prefix;
    const char *labels, *states, *snapshots, *regions;
    bool errored_deleted;
    int is_public, is_recoverable;               /* -1 = any */
    struct dt_resources least, most;             /* most: 0 = any */
    int64_t created_after_ms, created_before_ms; /* 0 = any */
    int64_t active_after_ms, active_before_ms;
    int64_t destroy_after_ms, destroy_before_ms;
    const char *sort, *order; /* as in the schema */
    const char *after_id;     /* with after_ms: behind that row, newest first */
    int64_t after_ms;
    int64_t offset, limit;
};

/* Calls `each` for every row (which it may empty by moving it); returns -1 when that fails. *total
 * (may be NULL) counts all that match, whatever limit, offset and after say. */
int dt_store_sandbox_list(struct dt_db_conn *c, const struct dt_sandbox_filter *f,
                          int (*each)(void *ctx, struct dt_sandbox_row *r, struct dt_err *err),
                          void *ctx, int64_t *total, struct dt_err *err) DT_MUST_CHECK;
/* The sandboxes whose files began as a copy of that one's, oldest first. */
int dt_store_sandbox_forks(struct dt_db_conn *c, const char *id, bool destroyed,
                           int (*each)(void *ctx, struct dt_sandbox_row *r, struct dt_err *err),
                           void *ctx, struct dt_err *err) DT_MUST_CHECK;
/* The regions of an organization's sandboxes, in order. */
int dt_store_sandbox_regions(struct dt_db_conn *c, const char *org,
                             int (*each)(void *ctx, const char *region, struct dt_err *err),
                             void *ctx, struct dt_err *err) DT_MUST_CHECK;
/* Every row that is not destroyed, of all organizations. */
int dt_store_sandbox_all(struct dt_db_conn *c,
                         int (*each)(void *ctx, struct dt_sandbox_row *r, struct dt_err *err),
                         void *ctx, struct dt_err *err) DT_MUST_CHECK;

struct dt_snapshot_row {
    char id[DT_UUID_SIZE];
    char *name;
    char *image_name;
    char *state;
    char *layers; /* chain ids, lowest first, separated by one space */
    char *config; /* the image's configuration, JSON */
    int64_t size_bytes;
    struct dt_resources res; /* 0 = the server's defaults */
    char *error_reason;
    int64_t created_ms, updated_ms, last_used_ms;
};

void dt_snapshot_row_done(struct dt_snapshot_row *r);
/* Inserts it or replaces the one of that name (which keeps its id and created_ms). */
int dt_store_snapshot_put(struct dt_db_conn *c, const struct dt_snapshot_row *r,
                          struct dt_err *err) DT_MUST_CHECK;
/* By id or name. NOT_FOUND. */
int dt_store_snapshot_get(struct dt_db_conn *c, const char *id_or_name, struct dt_snapshot_row *r,
                          struct dt_err *err) DT_MUST_CHECK;
struct dt_snapshot_filter {
    const char *part;         /* of the name, in any case; NULL = any */
    const char *sort, *order; /* as in the schema; NULL = by name. What has none comes last */
    int64_t offset, limit;
};
/* Without the server's own (names that begin with a dot). */
int dt_store_snapshot_list(struct dt_db_conn *c, const struct dt_snapshot_filter *f,
                           int (*each)(void *ctx, struct dt_snapshot_row *r, struct dt_err *err),
                           void *ctx, int64_t *total, struct dt_err *err) DT_MUST_CHECK;

struct dt_signed_row {
    uint8_t hash[DT_HASH_SIZE];
    char sandbox[DT_UUID_SIZE];
    uint16_t port;
    int64_t expires_ms;
};
int dt_store_signed_put(struct dt_db_conn *c, const struct dt_signed_row *r,
                        struct dt_err *err) DT_MUST_CHECK;
int dt_store_signed_drop(struct dt_db_conn *c, const uint8_t hash[DT_HASH_SIZE],
                         struct dt_err *err) DT_MUST_CHECK;
int dt_store_signed_all(struct dt_db_conn *c, int64_t now_ms,
                        int (*each)(void *ctx, const struct dt_signed_row *r, struct dt_err *err),
                        void *ctx, struct dt_err *err) DT_MUST_CHECK;

#endif
