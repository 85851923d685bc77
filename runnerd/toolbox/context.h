/*
 * Contexts of the interpreter: isolated states, each with a process of its own, that run programs
 * one after the other in the order they came.
 *
 * The default context starts its process when it is first used, so that a sandbox where nobody uses
 * it has none, and starts a new one when that has ended. Any other has one process in its life;
 * when that has ended the context is there, and not active.
 */
#ifndef DT_TOOLBOX_CONTEXT_H
#define DT_TOOLBOX_CONTEXT_H

#include "toolbox/worker.h"

enum {
    DT_CONTEXTS_MAX = 32,        /* beside the default one */
    DT_CONTEXT_QUEUE_MAX = 128,  /* programs that wait */
    DT_CONTEXT_START_MS = 60000, /* for the process to come up */
    DT_CONTEXT_KILL_MS = 2000,   /* from Ctrl-C to the end of a process that does not mind it */
};

struct dt_context;
/* A program that runs or waits. */
struct dt_context_job;

enum dt_context_end {
    DT_CONTEXT_COMPLETED,
    DT_CONTEXT_INTERRUPTED, /* by dt_context_job_interrupt(), or by a signal from the sandbox */
    DT_CONTEXT_TIMED_OUT,
    DT_CONTEXT_FAILED,  /* the process could not be started */
    DT_CONTEXT_DIED,    /* the process ended under the program */
    DT_CONTEXT_DELETED, /* the context was deleted */
};

struct dt_context_events {
    void (*on_output)(void *ctx, bool errors, struct dt_str text);
    void (*on_error)(void *ctx, const char *name, const char *value, const char *traceback);
    void (*on_chart)(void *ctx, struct dt_str json);
    /* Once, last. `text` says more to people. */
    void (*on_end)(void *ctx, enum dt_context_end end, const char *text);
};

/* BAD_REQUEST: the folder is none; LIMIT: there are too many. *ret belongs to the registry. */
int dt_context_new(struct dt_toolbox *tb, const char *cwd, struct dt_context **ret,
                   struct dt_err *err) DT_MUST_CHECK;
/* By id; empty is the default context, which is always there. NOT_FOUND. */
int dt_context_find(struct dt_toolbox *tb, struct dt_str id, struct dt_context **ret,
                    struct dt_err *err) DT_MUST_CHECK;
/* Ends the process and all that came of it; jobs end with DELETED. The default one cannot be. */
int dt_context_delete(struct dt_context *c, struct dt_err *err) DT_MUST_CHECK;
/* The one after `c` in the order they were made, NULL at the end; the first for NULL. */
struct dt_context *dt_context_next(const struct dt_context *c);

const char *dt_context_id(const struct dt_context *c);
const char *dt_context_cwd(const struct dt_context *c);
int64_t dt_context_created_ms(const struct dt_context *c);
bool dt_context_is_active(const struct dt_context *c);

/* Copies the program and keeps a reference to `envs` (object of strings, or NULL). `timeout_ms`
 * counts from the program's begin; 0 = none. GONE: the context is not active. LIMIT: the queue is
 * full. On success on_end comes, not from inside of this. */
int dt_context_run(struct dt_context *c, struct dt_str code, json_t *envs, uint64_t timeout_ms,
                   const struct dt_context_events *events, void *ctx, struct dt_context_job **ret,
                   struct dt_err *err) DT_MUST_CHECK;
/* No callback comes any more. A program that runs is interrupted, then killed. */
void dt_context_job_cancel(struct dt_context_job *j);
/* Ctrl-C; on_end comes. One that waits ends at once. */
void dt_context_job_interrupt(struct dt_context_job *j);
/* While its output is not wanted, the program waits. */
void dt_context_job_pause(struct dt_context_job *j, bool pause);

#endif
