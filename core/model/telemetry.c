#include "model/telemetry.h"

#include <stdlib.h>

static void unlink_one(struct dt_telemetry_pool *all, struct dt_telemetry *t)
{
    *(t->newer != NULL ? &t->newer->older : &all->newest) = t->older;
    *(t->older != NULL ? &t->older->newer : &all->oldest) = t->newer;
    t->newer = t->older = NULL;
}

static void put_first(struct dt_telemetry_pool *all, struct dt_telemetry *t)
{
    t->older = all->newest;
    *(all->newest != NULL ? &all->newest->newer : &all->oldest) = t;
    all->newest = t;
}

void dt_telemetry_forget(struct dt_telemetry_pool *all, struct dt_telemetry *t)
{
    if (t->bytes == 0)
        return;
    unlink_one(all, t);
    all->bytes -= t->bytes;
    free(t->history);
    free(t->spans);
    *t = (struct dt_telemetry){.bytes = 0};
}

static void added(struct dt_telemetry_pool *all, struct dt_telemetry *t)
{
    size_t max = all->max != 0 ? all->max : DT_TELEMETRY_MAX;
    if (t->bytes != 0)
        unlink_one(all, t);
    put_first(all, t);
    all->bytes -= t->bytes;
    t->bytes = dt_history_bytes(t->history) + dt_spans_bytes(t->spans);
    all->bytes += t->bytes;
    while (all->bytes > max && all->oldest != t)
        dt_telemetry_forget(all, all->oldest);
}

int dt_telemetry_add_sample(struct dt_telemetry_pool *all, struct dt_telemetry *t,
                            const struct dt_sample *s, struct dt_err *err)
{
    if (dt_history_add(&t->history, s, err) < 0)
        return -1;
    added(all, t);
    return 0;
}

int dt_telemetry_add_span(struct dt_telemetry_pool *all, struct dt_telemetry *t,
                          const struct dt_span *s, struct dt_err *err)
{
    if (dt_spans_add(&t->spans, s, err) < 0)
        return -1;
    added(all, t);
    return 0;
}
