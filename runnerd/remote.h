/*
 * Runners on other machines that somebody registered: of a custom region of an organization, or of
 * the shared one. They have a key, report how they are, and are shown; this server runs its
 * sandboxes on its own machine and gives them nothing to do. All of them are in memory, changed
 * after the commit. Loop only, but for the part on the store.
 */
#ifndef DT_REMOTE_H
#define DT_REMOTE_H

#include "base/rand.h"
#include "db/conn.h"
#include "model/runner_state.h"
#include "model/token.h"

enum { DT_REMOTES_MAX = 100 }; /* of one organization; of the shared region too */

enum dt_remote_text {
    DT_REMOTE_NAME,
    DT_REMOTE_TAGS, /* a JSON array */
    DT_REMOTE_API_VERSION,
    DT_REMOTE_DOMAIN, /* from here on any may be NULL */
    DT_REMOTE_API_URL,
    DT_REMOTE_PROXY_URL,
    DT_REMOTE_APP_VERSION,
    DT_REMOTE_GPU_TYPE,
    DT_REMOTE_TEXTS,
};

/* The store has them by their place: add new ones at the end. */
enum dt_remote_figure {
    DT_REMOTE_CPU,
    DT_REMOTE_MEMORY, /* GiB */
    DT_REMOTE_DISK,   /* GiB */
    DT_REMOTE_GPU,
    DT_REMOTE_CPU_USED, /* percent */
    DT_REMOTE_MEMORY_USED,
    DT_REMOTE_DISK_USED,
    DT_REMOTE_CPU_ALLOCATED,
    DT_REMOTE_MEMORY_ALLOCATED, /* GiB */
    DT_REMOTE_DISK_ALLOCATED,   /* GiB */
    DT_REMOTE_SNAPSHOTS,
    DT_REMOTE_STARTED,
    DT_REMOTE_CPU_LOAD,
    DT_REMOTE_FIGURES,
};

struct dt_remote {
    struct dt_remote *next;
    char id[DT_UUID_SIZE];
    char region[DT_UUID_SIZE]; /* empty: the shared one */
    char org[DT_UUID_SIZE];    /* whose region that is; empty with it */
    uint8_t key[DT_HASH_SIZE];
    char prefix[4], suffix[4]; /* of the key's text */
    char *texts[DT_REMOTE_TEXTS];
    double figures[DT_REMOTE_FIGURES]; /* NAN: not known */
    bool troubled;                     /* a service of it was not healthy at the last report */
    bool unschedulable, draining;
    int64_t checked_ms; /* 0: it has not reported */
    int64_t created_ms, updated_ms;
    enum dt_runner_state shown; /* what was last told of it; kept by the table */
};

struct dt_remotes {
    struct dt_remote *first; /* in the order of their making */
};

/* With nothing known of it. NULL without memory. */
struct dt_remote *dt_remote_new(void);
/* NULL is fine. Returns NULL. */
struct dt_remote *dt_remote_free(struct dt_remote *r);
DT_DEFINE_AUTO(struct dt_remote *, dt_remote_free)
/* Copies `text`, in place of what was there. -1 without memory. */
int dt_remote_set(struct dt_remote *r, enum dt_remote_text which, const char *text);
/* Takes its key from the text of one, of at least three characters. */
void dt_remote_set_key(struct dt_remote *r, struct dt_str text);

/* Fills an empty table. */
int dt_remotes_load(struct dt_remotes *t, struct dt_db_conn *c, struct dt_err *err) DT_MUST_CHECK;
void dt_remotes_clear(struct dt_remotes *t);
/* Takes over `r`, in place of the one with its id, whose `shown` it gets. */
void dt_remotes_put(struct dt_remotes *t, struct dt_remote *r);
void dt_remotes_remove(struct dt_remotes *t, const char *id);
/* NULL. */
struct dt_remote *dt_remotes_find(const struct dt_remotes *t, const char *id);
const struct dt_remote *dt_remotes_by_key(const struct dt_remotes *t,
                                          const uint8_t hash[DT_HASH_SIZE]);
/* Whether the region has any. */
bool dt_remotes_in(const struct dt_remotes *t, const char *region);

/* --- in the store, inside jobs --- */

/* CONFLICT: the region has one of that name, or the key is another one's. FORBIDDEN: too many.
 * NOT_FOUND: the region is gone. */
int dt_store_remote_add(struct dt_db_conn *c, const struct dt_remote *r,
                        struct dt_err *err) DT_MUST_CHECK;
/* What it reports: texts that are set, figures that are known if any is, `troubled`, `checked_ms`.
 * NOT_FOUND, here and below. */
int dt_store_remote_report(struct dt_db_conn *c, const struct dt_remote *r,
                           struct dt_err *err) DT_MUST_CHECK;
/* NULL keeps a flag as it is. */
int dt_store_remote_flags(struct dt_db_conn *c, const char *id, const bool *unschedulable,
                          const bool *draining, struct dt_err *err) DT_MUST_CHECK;
int dt_store_remote_delete(struct dt_db_conn *c, const char *id, struct dt_err *err) DT_MUST_CHECK;
/* One, owned by the caller. */
int dt_store_remote_get(struct dt_db_conn *c, const char *id, struct dt_remote **ret,
                        struct dt_err *err) DT_MUST_CHECK;

#endif
