/*
 * Moving a sandbox into a state and waiting until it is there; what create, start and stop share.
 */
#ifndef DT_LIFECYCLE_H
#define DT_LIFECYCLE_H

#include "mcp/tool.h"

/* Lives in the call's state; c->lifecycle points to it. */
struct dt_lifecycle {
    const char *wanted; /* "started" or "stopped" */
    char *id;           /* owned; set by dt_lifecycle_move() or _settle() */
    uint64_t deadline_ms;
    uint64_t pause_ms;
    char why[512]; /* what the server said when it refused */
    /* Runs once, with the sandbox in the wanted state; every other end fails the call. */
    void (*then)(struct dt_call *c, const json_t *sandbox);
};
void dt_lifecycle_done(struct dt_lifecycle *l);

/* POST /sandbox/{id}/{verb}, then waits. Being in the wanted state already is fine. `l` lives in
 * c->state. */
void dt_lifecycle_move(struct dt_call *c, struct dt_lifecycle *l, const char *id, const char *verb);
/* Waits for the sandbox that was just answered, for at most 2 minutes. */
void dt_lifecycle_settle(struct dt_call *c, struct dt_lifecycle *l, const json_t *sandbox);

#endif
