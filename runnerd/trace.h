/* The span of one request that goes into a sandbox. Of the request it has the operation alone: no
 * path, no query, no header and no body. Loop only. */
#ifndef DT_TRACE_H
#define DT_TRACE_H

#include "runnerd/runnerd.h"

enum { DT_TRACE_NO_OP = UINT16_MAX }; /* no operation of the toolbox */

struct dt_trace {
    struct dt_span span;
    uint64_t begun_ns; /* 0: it is not traced */
};

/* `route` is one of dt_tb_routes, or NULL. A span of the client that the request names becomes the
 * parent. */
void dt_trace_begin(struct dt_trace *t, struct dt_http_req *req, const struct dt_route *route);
/* It was answered. */
void dt_trace_answer(struct dt_trace *t, int status);
/* It is over; the span goes to `l`, if there is one. `whole`: the client got all of the answer.
 * Once is enough: what comes after does nothing. */
void dt_trace_end(struct dt_runnerd *rd, struct dt_trace *t, struct dt_live *l, bool whole);

#endif
