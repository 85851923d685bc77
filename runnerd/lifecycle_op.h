/*
 * The inside of lifecycle.h: an operation and its three steps. lifecycle_op.c has the first and the
 * third, which are commits, lifecycle_launch.c the second; lifecycle_create.c begins those of new
 * sandboxes, lifecycle.c all others, lifecycle_note.c what nobody asked for; lifecycle_log.c tells
 * of it.
 */
#ifndef DT_LIFECYCLE_OP_H
#define DT_LIFECYCLE_OP_H

#include "runnerd/lifecycle.h"
#include "runnerd/mounts.h"

enum { DT_OP_SHORT_MS = 60000, DT_OP_LONG_MS = 24 * 3600 * 1000, DT_OP_STOP_GRACE_MS = 5000 };

enum dt_op_kind {
    DT_OP_CREATE,
    DT_OP_FORK,
    DT_OP_START,
    DT_OP_RESTORE,
    DT_OP_RESUME,
    DT_OP_PAUSE,
    DT_OP_STOP,
    DT_OP_DESTROY,
    DT_OP_ARCHIVE,
    DT_OP_RESIZE,
    DT_OP_KINDS
};

/* How an operation differs from the others. */
enum {
    DT_OP_BOOTS = 1,    /* the launcher starts a toolbox, with its configuration */
    DT_OP_SPEC = 2,     /* it is told all that the sandbox has */
    DT_OP_EARLY = 4,    /* answered as soon as it is on its way */
    DT_OP_GONE_OK = 8,  /* no such sandbox: it is over */
    DT_OP_OUTSIDE = 16, /* its reason is not one of the sandbox's: the row does not keep it */
    DT_OP_AGAIN = 32,   /* when the launcher is lost, it is done once more by the next one */
};

struct dt_op_rules {
    const char *name;
    enum dt_sandbox_state during, after;
    enum dt_sandbox_desired desired;
    uint32_t op;
    uint64_t timeout_ms;
    unsigned flags;
};
extern const struct dt_op_rules dt_op_kinds[DT_OP_KINDS];

/* One operation. The store's thread has `row` while a job runs, the loop has it otherwise. */
struct dt_op {
    struct dt_runnerd *rd;
    enum dt_op_kind kind;
    struct dt_sandbox_row row;
    dt_lifecycle_done *done;
    void *ctx;
    struct dt_op *next;   /* that waits for a launcher, see lifecycle_wait.h */
    uint64_t wait_end_ms; /* monotonic; 0 = it has not waited yet */
    unsigned repeats;     /* how often it was done once more */
    bool sent;            /* the launcher may have heard of it */
    bool by_server;       /* nobody waits for it: the clock or a comparison wants it */
    uint64_t start_ns;
    uint64_t launcher_ns; /* how long the launcher took */
    uint32_t lw_op;       /* what the launcher is asked: DT_OP_RESTORE goes on with DT_OP_START */
    struct {
        enum dt_sandbox_state state; /* a repair finds it on its way */
        enum dt_sandbox_desired desired;
        struct dt_resources res;
    } before;
    struct dt_resources target; /* DT_OP_RESIZE; 0 = what the row says */
    bool without_start;         /* DT_OP_RESTORE: it is enough that its files are back */
    /* DT_OP_CREATE and DT_OP_FORK */
    struct dt_resources held; /* until there is an entry that holds it */
    struct dt_create_limits limits;
    struct dt_resources most;
    /* DT_OP_CREATE only */
    char *snapshot, *user;
    json_t *env;
    struct dt_mounts *mounts;
    struct dt_create_ask ask;
    char parent[DT_UUID_SIZE]; /* DT_OP_FORK only */
    bool failed;               /* the launcher could not; `err` says why */
    struct dt_err err;
};

/* No memory: NULL. */
struct dt_op *dt_op_new(struct dt_runnerd *rd, enum dt_op_kind kind, dt_lifecycle_done *done,
                        void *ctx, struct dt_err *err);
void dt_op_free(struct dt_op *op);
/* An operation on what there is, from its first step. */
int dt_op_begin(struct dt_runnerd *rd, struct dt_live *l, enum dt_op_kind kind,
                dt_lifecycle_done *done, void *ctx, struct dt_err *err) DT_MUST_CHECK;
/* The same when the quota is held already; takes `op` in any case. */
int dt_op_begin_reserved(struct dt_runnerd *rd, struct dt_live *l, struct dt_op *op,
                         struct dt_err *err) DT_MUST_CHECK;
/* A dt_db_done: the first commit is made, or failed. */
void dt_op_begun(void *arg, const struct dt_err *err);
/* The second step. Waits while there is no launcher. */
void dt_op_launch(struct dt_op *op);
/* The third step of one that could not be done. */
void dt_op_launcher_failed(struct dt_op *op, const struct dt_err *why);
/* The third step, for the state that the row has now. */
void dt_op_end(struct dt_op *op);
void dt_op_fail(struct dt_op *op, enum dt_sandbox_state state, enum dt_sandbox_desired desired,
                const struct dt_err *why);
/* The end without a third step. */
void dt_op_over(struct dt_op *op, const struct dt_err *err);

/* lifecycle_log.c: how it ended goes to the sandbox's log; part of the third step's job. */
int dt_op_log(struct dt_db_conn *c, const struct dt_op *op, struct dt_err *err) DT_MUST_CHECK;

/* -1: no memory. */
int dt_op_set_text(char **at, const char *text);
void dt_op_set_state(struct dt_sandbox_row *r, enum dt_sandbox_state state,
                     enum dt_sandbox_desired desired);
/* Its part of the quota is that of its state. */
void dt_lifecycle_hold(struct dt_runnerd *rd, struct dt_live *l);
/* `each` is for one sandbox, `all` for those of the organization. */
void dt_lifecycle_quotas(const struct dt_runnerd *rd, const char *org,
                         struct dt_create_limits *each, struct dt_resources *all);
/* There is a launcher, or it can be waited for. */
int dt_lifecycle_check_up(const struct dt_runnerd *rd, struct dt_err *err) DT_MUST_CHECK;

#endif
