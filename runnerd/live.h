/*
 * What the loop must know about each sandbox without asking the store: a small entry for every one
 * that is not destroyed. The store has the truth; an entry changes after the commit. Loop only.
 */
#ifndef DT_LIVE_H
#define DT_LIVE_H

#include "base/rand.h"
#include "model/create.h"
#include "model/sandbox.h"
#include "model/telemetry.h"
#include "model/token.h"
#include "net/http_client.h"
#include "runnerd/upstream.h"

struct dt_sandbox_row;

enum { DT_LIVE_BUCKETS = 1024, DT_LIVE_ANSWER_MAX = 8192 };

/* The last reading of what it uses (sampler.c). */
struct dt_live_reading {
    uint64_t at_ms; /* monotonic; 0 = there is none */
    int64_t starts; /* of which start it is */
    uint64_t cpu_usec, oom_kills;
    bool is_start; /* nothing was read: it had just started */
};

struct dt_live {
    struct dt_live *next; /* in its bucket */
    char id[DT_UUID_SIZE];
    char org[DT_UUID_SIZE];
    char *name;
    char target[65]; /* the region that it is said to be in */
    enum dt_sandbox_state state;
    enum dt_sandbox_desired desired;
    struct dt_sandbox_timers timers;
    int64_t starts;
    int64_t signing_epoch;             /* of its file URLs */
    char token[DT_PREVIEW_TOKEN_SIZE]; /* of its previews, until the next start */
    int64_t cpu_millis, memory_mib, disk_mib;
    struct dt_resources held; /* of its organization's quota */
    enum dt_backup_state backup;
    int64_t backup_ms;         /* the last complete one; 0 = none */
    bool backing_up;           /* the launcher is at it */
    bool lost;                 /* its files are neither on the disk nor in an archive */
    uint64_t archive_again_ms; /* monotonic: not before, by the clock */
    bool checking;             /* it is asked how much it has worked */
    uint64_t cpu_usec;         /* cpu time it had taken at cpu_ms */
    uint64_t cpu_ms;           /* monotonic; 0 = not known since it started */
    struct dt_live_reading reading;
    struct dt_telemetry telemetry; /* what it used, and the requests that went into it */
    uint64_t changed_ms;           /* monotonic: when the last operation ended */
    unsigned exchanges;            /* requests and tunnels that are open now */
    unsigned open;                 /* the same with those that are no activity */
    bool busy;                     /* an operation runs */
    bool limit_due;                /* the limit of its organization's network has changed */
    bool is_public;
    bool linked;         /* to another sandbox */
    bool activity_dirty; /* timers.activity_ms is newer than the store's */
    bool exited;         /* it ended by itself while an operation ran */
    bool oom;
    int exit_status;
    /* Who wants it started once it is archived no more (lifecycle.c); NULL = nobody. */
    void (*next_done)(void *ctx, const struct dt_sandbox_row *row, const struct dt_err *err);
    void *next_ctx;
    struct dt_http_client *toolbox; /* made at first use */
    struct dt_upstreams *upstreams; /* the same; gone when it does not run */
    uint64_t version;               /* counts dt_live_changed() */
    char *answer;                   /* what GET says, NULL when it must ask the store */
    size_t answer_size;
};

struct dt_live_table {
    struct dt_live *buckets[DT_LIVE_BUCKETS];
    size_t count;
    struct dt_telemetry_pool telemetry;
};

/* Copies the texts; `name` may be long. NULL without memory. */
struct dt_live *dt_live_add(struct dt_live_table *t, const char *id, const char *org,
                            const char *name);
void dt_live_remove(struct dt_live_table *t, struct dt_live *l);
void dt_live_clear(struct dt_live_table *t);
/* NULL when there is none. */
struct dt_live *dt_live_by_id(const struct dt_live_table *t, const char *id);
/* First as id, then as name, of that organization only. */
struct dt_live *dt_live_find(const struct dt_live_table *t, const char *org,
                             const char *id_or_name);
/* All of them: start with NULL. The current one may be removed only after the next was taken. */
struct dt_live *dt_live_next(const struct dt_live_table *t, const struct dt_live *l);
/* In ERROR, and its files are on the disk or in a backup. */
bool dt_live_recoverable(const struct dt_live *l);
/* Counts as activity now. */
void dt_live_touch(struct dt_live *l);
/* Whoever changes what GET shows of it calls this, before the change is answered. */
void dt_live_changed(struct dt_live *l);
/* Keeps a copy of the GET answer until the next change. Does nothing when there was one since
 * `version` was read, above DT_LIVE_ANSWER_MAX bytes, and without memory. */
void dt_live_keep(struct dt_live *l, uint64_t version, struct dt_str answer);

#endif
