/*
 * The audit log of a running server. An action is written down before it begins and completed when
 * it is answered; what cannot be written down is not done. The store's thread writes; all calls
 * come from the loop.
 */
#ifndef DT_AUDIT_H
#define DT_AUDIT_H

#include "db/db.h"
#include "model/audit.h"

struct dt_audit;
struct dt_audit_entry; /* an action that is under way */

enum {
    DT_AUDIT_TEXT_MAX = 1024,          /* bytes of each text but the metadata; more is cut off */
    DT_AUDIT_METADATA_MAX = 16 * 1024, /* longer ones are left out */
    DT_AUDIT_GIVE_UP_MS = 30 * 60000,
};

/* Loads or makes state/audit.key, and completes what an earlier server left open. `c` is a
 * connection of the start. */
int dt_audit_new(const char *data_dir, struct dt_db_conn *c, struct dt_audit **ret,
                 struct dt_err *err) DT_MUST_CHECK;
/* After the store is closed. NULL is fine; returns NULL. */
struct dt_audit *dt_audit_free(struct dt_audit *a);
DT_DEFINE_AUTO(struct dt_audit *, dt_audit_free)
/* Where it writes; before the first action. `retention_days` 0: nothing is removed. */
void dt_audit_start(struct dt_audit *a, struct dt_db *db, int64_t retention_days);

/* Writes down an action: what->texts (borrowed for the call) without the id, the rest is set here.
 * `done` comes once, never from inside this call: the entry, which the caller owns until
 * dt_audit_end(), or why it could not be written. An action that begins with a job of the store
 * need not wait for it when that job rests on *base (NULL: nothing will). */
int dt_audit_begin(struct dt_audit *a, const struct dt_audit_record *what,
                   void (*done)(void *ctx, struct dt_audit_entry *entry, const struct dt_err *err),
                   void *ctx, struct dt_db_base **base, struct dt_err *err) DT_MUST_CHECK;
/* Completes it; takes over `entry`. `error` and `target` (its id, when the action made it) may be
 * NULL. Nobody waits for it: what comes after it in the store's queue sees it. */
void dt_audit_end(struct dt_audit *a, struct dt_audit_entry *entry, int status, const char *error,
                  const char *target);
/* Now and then: completes what was lost, removes what is too old. */
void dt_audit_tick(struct dt_audit *a);

/* The key of the log's seals, for `daytona-runnerd audit verify`. */
int dt_audit_key_path(const char *data_dir, char out[4200]);

#endif
