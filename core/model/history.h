/*
 * What a sandbox used over time: a bounded number of samples, each the mean of a stretch of time.
 * When there is no room for one more, the two neighbours are merged that are the shortest for their
 * age: the last minutes stay fine, days become hours, and the beginning is never lost. Time comes
 * in as an argument.
 */
#ifndef DT_HISTORY_H
#define DT_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { DT_HISTORY_MAX = 96 };

enum dt_gauge {
    DT_GAUGE_CPU_PERCENT, /* of what it may have */
    DT_GAUGE_CPU_COUNT,
    DT_GAUGE_MEMORY_USED, /* bytes, as all that follow */
    DT_GAUGE_MEMORY_LIMIT,
    DT_GAUGE_MEMORY_CACHE,
    DT_GAUGE_DISK_USED,
    DT_GAUGE_DISK_TOTAL,
    DT_GAUGE_COUNT
};

struct dt_sample {
    int64_t at_ms;    /* the end of its stretch */
    uint32_t span_ms; /* how long that is */
    float values[DT_GAUGE_COUNT];
};

struct dt_history;

/* Adds one that is later than all others (a clock that went back is taken as having stood still).
 * Makes the history at the first. NOMEM leaves it as it was. */
int dt_history_add(struct dt_history **h, const struct dt_sample *s,
                   struct dt_err *err) DT_MUST_CHECK;
/* Oldest first; NULL has none. Borrowed until the next one is added. */
const struct dt_sample *dt_history_samples(const struct dt_history *h, size_t *n);
/* The memory that it takes; NULL: none. */
size_t dt_history_bytes(const struct dt_history *h);

#endif
