#include "runnerd/trace.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "gen/toolbox_api.h"

void dt_trace_begin(struct dt_trace *t, struct dt_http_req *req, const struct dt_route *route)
{
    t->begun_ns = dt_clock_ns();
    t->span = (struct dt_span){
        .start_ms = dt_clock_real_ms(),
        .op = route != NULL ? (uint16_t)(route - dt_tb_routes) : DT_TRACE_NO_OP,
    };
    dt_rand_bytes(t->span.id, sizeof(t->span.id));
    if (!dt_span_read_parent(dt_http_req_header(req, "traceparent"), &t->span))
        dt_rand_bytes(t->span.trace, sizeof(t->span.trace));
}

void dt_trace_answer(struct dt_trace *t, int status)
{
    t->span.status = (uint16_t)status;
}

void dt_trace_end(struct dt_runnerd *rd, struct dt_trace *t, struct dt_live *l, bool whole)
{
    struct dt_err err;
    if (t->begun_ns == 0)
        return;
    t->span.ns = dt_clock_ns() - t->begun_ns;
    t->span.cut = !whole;
    t->begun_ns = 0;
    if (l != NULL && dt_telemetry_add_span(&rd->live.telemetry, &l->telemetry, &t->span, &err) < 0)
        dt_log(DT_LOG_WARN, "trace", "sandbox", l->id, "err", err.msg, NULL);
}
