/*
 * What is known of sandboxes over time, in memory: of each a history and spans, which have limits
 * of their own, and a limit for all together. When that is reached, the sandbox of which nothing
 * new has come for the longest time loses what is known of it.
 */
#ifndef DT_TELEMETRY_H
#define DT_TELEMETRY_H

#include "model/history.h"
#include "model/span.h"

/* Enough for all that one runner can run, with all they may have. */
enum { DT_TELEMETRY_MAX = 48 << 20 };

/* Of one sandbox; zeros: nothing is known. It must not move once something is. */
struct dt_telemetry {
    struct dt_history *history;
    struct dt_spans *spans;
    size_t bytes;
    struct dt_telemetry *newer, *older; /* by when something new came */
};

/* Of all of them. */
struct dt_telemetry_pool {
    struct dt_telemetry *newest, *oldest;
    size_t bytes;
    size_t max; /* 0: DT_TELEMETRY_MAX */
};

/* As dt_history_add() and dt_spans_add(); others may lose theirs, this one does not. */
int dt_telemetry_add_sample(struct dt_telemetry_pool *all, struct dt_telemetry *t,
                            const struct dt_sample *s, struct dt_err *err) DT_MUST_CHECK;
int dt_telemetry_add_span(struct dt_telemetry_pool *all, struct dt_telemetry *t,
                          const struct dt_span *s, struct dt_err *err) DT_MUST_CHECK;
/* Nothing is known any more. Before the memory of `t` goes. */
void dt_telemetry_forget(struct dt_telemetry_pool *all, struct dt_telemetry *t);

#endif
