/*
 * A process that keeps the state of one interpreter context (runnerd/toolbox/code/worker.py), and
 * runs one program after the other.
 *
 * Requests and what is told about programs go over a socket that only the two have, what programs
 * print over pipes: no output can be taken for protocol. Every callback comes from the loop.
 */
#ifndef DT_TOOLBOX_WORKER_H
#define DT_TOOLBOX_WORKER_H

#include "json/json.h"
#include "toolbox/toolbox.h"

enum { DT_WORKER_EVENT_MAX = 24 * 1024 * 1024 }; /* bytes of one event */

struct dt_worker;

struct dt_worker_events {
    void (*on_begin)(void *ctx); /* the program begins; before, it cannot be interrupted */
    /* UTF-8, not empty; also while no program runs. */
    void (*on_output)(void *ctx, bool errors, struct dt_str text);
    void (*on_error)(void *ctx, const char *name, const char *value, const char *traceback);
    void (*on_chart)(void *ctx, struct dt_str json);
    /* The program has ended, and all that came of it was told before. */
    void (*on_done)(void *ctx, bool interrupted);
    /* The process is gone and the worker with it. `how` says in words how it ended. */
    void (*on_exit)(void *ctx, const char *how);
};

/* Starts the interpreter in `cwd`. `events` is kept by pointer. FILE_NOT_FOUND: the sandbox has no
 * python3, or there is no such folder. */
int dt_worker_new(struct dt_toolbox *tb, const char *cwd, const struct dt_worker_events *events,
                  void *ctx, struct dt_worker **ret, struct dt_err *err) DT_MUST_CHECK;
/* Once the one before is done. `envs`: object of strings, or NULL. Copies both. */
int dt_worker_run(struct dt_worker *w, struct dt_str code, const json_t *envs,
                  struct dt_err *err) DT_MUST_CHECK;
/* Ctrl-C. */
void dt_worker_interrupt(struct dt_worker *w);
/* No output and no event is read meanwhile; the program waits once the pipes are full. */
void dt_worker_pause(struct dt_worker *w, bool pause);
/* Kills the process and all that came of it. No callback comes any more; the worker is gone. */
void dt_worker_free(struct dt_worker *w);

#endif
