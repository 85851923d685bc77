/*
 * Operations that wait for a launcher, because it is starting, or was lost and is being started
 * again. They wait between the first and the second step: the store says already what is about to
 * happen, so that everybody sees it and the comparison leaves it alone. Each waits 30 s in all.
 *
 * One that was under way when the launcher was lost is done once more when there is another: what
 * may have come of it is undone first, so that it is never done twice. One that has seen two
 * launchers end is given up, for it may be why they do.
 */
#ifndef DT_LIFECYCLE_WAIT_H
#define DT_LIFECYCLE_WAIT_H

#include <stdbool.h>
#include <uv.h>

#include "base/err.h"

struct dt_op;
struct dt_runnerd;

/* The longest waiting first. */
struct dt_op_queue {
    struct dt_op *first, **last;
    size_t n;
    uv_timer_t timer; /* runs while there are any */
};

/* The timer is the caller's to close. */
void dt_op_queue_init(struct dt_runnerd *rd);
/* False when the server goes down, or too many wait already. */
bool dt_op_may_wait(const struct dt_runnerd *rd);
/* Takes one that cannot go on: `why` is UNAVAILABLE. It is given up at once when it may not wait.
 */
void dt_op_wait(struct dt_op *op, const struct dt_err *why);
/* There is a launcher: all go on. */
void dt_op_wait_over(struct dt_runnerd *rd);
/* The server goes down: all end. The next one compares. */
void dt_op_wait_end(struct dt_runnerd *rd);
/* Ends what waits to be done with a sandbox, but for its end: it is to be destroyed. False when
 * there was nothing of that kind. */
bool dt_op_wait_cancel(struct dt_runnerd *rd, const char *id);

#endif
