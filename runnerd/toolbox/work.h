/* Blocking work off the loop, without keeping threads: up to DT_WORK_THREADS_MAX run at once and
 * end when there is nothing left to do, so that an idle sandbox has none. */
#ifndef DT_TOOLBOX_WORK_H
#define DT_TOOLBOX_WORK_H

#include <uv.h>

#include "base/err.h"

enum {
    DT_WORK_THREADS_MAX = 4,
    DT_WORK_LONG_MAX = 3, /* threads with long work: there is always one for the rest */
    DT_WORK_QUEUE_MAX = 1024,
};

int dt_work_init(uv_loop_t *loop, struct dt_err *err) DT_MUST_CHECK;
/* Runs work(ctx) in a thread, then done(ctx) on the loop, exactly once. LIMIT when too much waits.
 */
int dt_work_start(void (*work)(void *ctx), void (*done)(void *ctx), void *ctx,
                  struct dt_err *err) DT_MUST_CHECK;
/* The same for what may take minutes, as reading through all files. */
int dt_work_start_long(void (*work)(void *ctx), void (*done)(void *ctx), void *ctx,
                       struct dt_err *err) DT_MUST_CHECK;

#endif
