/*
 * Reads what sandboxes use, for their histories: each that runs once a minute, one after another,
 * and at once when somebody wants to know. The launcher reads control groups; nothing in a sandbox
 * is asked or woken. Loop only.
 */
#ifndef DT_SAMPLER_H
#define DT_SAMPLER_H

#include "runnerd/runnerd.h"

enum { DT_SAMPLER_EVERY_MS = 60000, DT_SAMPLER_FRESH_MS = 1000 };

/* By the clock: reads those whose turn it is. */
void dt_sampler_run(struct dt_runnerd *rd);

/* It has just started, so it has used nothing yet. What an earlier server saw start counts from the
 * first reading on. */
void dt_sampler_started(struct dt_live *l);

/* Adds what `l` uses just now. Returns 1 when there is nothing to wait for: it does not run, or was
 * read within the last DT_SAMPLER_FRESH_MS. Returns 0 when `done` will come, once, from the loop,
 * whether or not there is something new; `l` may be gone then. */
int dt_sampler_read(struct dt_runnerd *rd, struct dt_live *l, void (*done)(void *ctx), void *ctx,
                    struct dt_err *err) DT_MUST_CHECK;

#endif
