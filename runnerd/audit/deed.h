/*
 * One thing that is done in a sandbox through its toolbox, in the audit log. It is written down
 * before the request goes on to the toolbox and completed when its exchange is over, so that the
 * outcome of a stream is that of the whole stream. Loop only.
 */
#ifndef DT_DEED_H
#define DT_DEED_H

#include "runnerd/runnerd.h"

struct dt_deed;

enum { DT_DEED_BODY_MAX = 1 << 20 }; /* of larger and of chunked bodies nothing is written down */

struct dt_deed_opts {
    struct dt_runnerd *rd;
    struct dt_http_req *req;        /* without an on_done, which is set until `ready` */
    const struct dt_route *route;   /* dt_deed_wanted() */
    struct dt_str target;           /* `/path?query` in the toolbox; stays until `ready` */
    const struct dt_principal *who; /* NULL: nobody with a name. Copied */
    const char *actor;              /* what let them in, in that case; a literal */
    const char *org, *sandbox;      /* copied */
    /* Comes once. It may be done now: `deed` is the caller's until dt_deed_end(), and `body` is the
     * request's, which was read (borrowed for the call), or has a NULL p, and streams. Or it may
     * not, and `err` says why. Or both are NULL: the client is gone, and `req` with it. */
    void (*ready)(void *ctx, struct dt_deed *deed, struct dt_str body, const struct dt_err *err);
    void *ctx;
};

/* The operation that a request to a toolbox asks for; NULL: none that it has. */
const struct dt_route *dt_deed_route(struct dt_http_req *req, struct dt_str target);
/* Whether it is to be written down. NULL is not. */
bool dt_deed_wanted(const struct dt_runnerd *rd, const struct dt_route *route);
int dt_deed_begin(const struct dt_deed_opts *opts, struct dt_err *err) DT_MUST_CHECK;

/* The answer: its status, then bytes of its body, which may tell why it failed. */
void dt_deed_answer(struct dt_deed *d, int status);
void dt_deed_data(struct dt_deed *d, const char *bytes, size_t n);
/* It ended without an answer of the toolbox. */
void dt_deed_fail(struct dt_deed *d, const struct dt_err *err);
/* Completes the record and frees it. `whole`: the client got all of the answer. NULL is fine. */
void dt_deed_end(struct dt_deed *d, bool whole);

#endif
