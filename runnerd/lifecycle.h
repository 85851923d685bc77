/*
 * Makes, starts, stops and destroys sandboxes: each is one operation of three steps, a commit that
 * says what is about to happen, a call of the launcher, a commit that says what came of it. At most
 * one operation runs per sandbox. After a crash between any two steps dt_reconcile() finishes it.
 */
#ifndef DT_LIFECYCLE_H
#define DT_LIFECYCLE_H

#include "runnerd/runnerd.h"

/* Exactly once, from the loop, never from inside the call that took it: the row after the commit,
 * or why it failed. `row` is borrowed. */
typedef void dt_lifecycle_done(void *ctx, const struct dt_sandbox_row *row,
                               const struct dt_err *err);

/* What a new sandbox is to be; texts and trees are borrowed for the call. */
struct dt_create {
    const char *org;
    const char *name;     /* NULL: its id */
    const char *snapshot; /* NULL: the default */
    const char *user;     /* NULL: the image's */
    const char *target, *class_name;
    const char *linked_to; /* id of a sandbox; NULL: none */
    json_t *env, *labels;  /* NULL: none */
    const json_t *volumes; /* NULL: none */
    bool is_public;
    struct dt_create_ask ask; /* resources and network */
    int64_t auto_stop, auto_archive, auto_delete, auto_pause;
    int64_t ttl_min; /* 0 = none */
};

int dt_lifecycle_create(struct dt_runnerd *rd, const struct dt_create *in, dt_lifecycle_done *done,
                        void *ctx, struct dt_err *err) DT_MUST_CHECK;
/* START, STOP, DELETE, ARCHIVE or PAUSE. `done` may be NULL. Stopping, archiving and
 * bringing back what is archived call it as soon as the sandbox is on its way, the others when they
 * are over. A START of what is being archived ends that first. Refuses with the texts of
 * dt_sandbox_check_call(); 0 with *already set when there is nothing to do (then `done` does not
 * come). */
int dt_lifecycle_change(struct dt_runnerd *rd, struct dt_live *l, enum dt_sandbox_call call,
                        dt_lifecycle_done *done, void *ctx, bool *already,
                        struct dt_err *err) DT_MUST_CHECK;
/* The same for RESIZE; a resize to what the sandbox has is `already`. */
int dt_lifecycle_resize(struct dt_runnerd *rd, struct dt_live *l, const struct dt_resize_ask *ask,
                        dt_lifecycle_done *done, void *ctx, bool *already,
                        struct dt_err *err) DT_MUST_CHECK;
/* From ERROR, with the files on the disk, else those of its archive, else those of its backup; it
 * is started, too, unless `start` is false. `done` comes as soon as it is on its way. */
int dt_lifecycle_recover(struct dt_runnerd *rd, struct dt_live *l, bool start,
                         dt_lifecycle_done *done, void *ctx, struct dt_err *err) DT_MUST_CHECK;
/* A new sandbox with the same settings and a copy of the files as they are at one moment, started.
 * `name` NULL: its id. */
int dt_lifecycle_fork(struct dt_runnerd *rd, struct dt_live *parent, const char *name,
                      dt_lifecycle_done *done, void *ctx, struct dt_err *err) DT_MUST_CHECK;
/* After `busy` became false: what happened to it meanwhile. It may be gone afterwards. */
void dt_lifecycle_wake(struct dt_runnerd *rd, struct dt_live *l);
/* For dt_sandbox_check_call(). */
struct dt_sandbox_now dt_lifecycle_now(const struct dt_live *l);
/* The launcher says that it ended by itself. */
void dt_lifecycle_exited(struct dt_runnerd *rd, const struct dt_lw_answer *event);
/* Brings a sandbox that is not busy to what reconciliation or its timers ask for. */
void dt_lifecycle_repair(struct dt_runnerd *rd, struct dt_live *l, enum dt_sandbox_repair what,
                         const char *reason);
/* After every commit that changes a row: its entry, new or changed. NULL when it is destroyed, and
 * without memory. */
struct dt_live *dt_lifecycle_show(struct dt_runnerd *rd, const struct dt_sandbox_row *row);

/* reconcile.c: goes on with unfinished volumes, asks the launcher for its list and compares; at the
 * start, after each new connection, and now and then. One at a time. */
void dt_reconcile(struct dt_runnerd *rd);
/* What is due by the clock: auto-stop, auto-delete, activity to the store, old rows. */
void dt_timers_run(struct dt_runnerd *rd);

#endif
