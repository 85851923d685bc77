/*
 * Spans of traces, as OpenTelemetry has them: each is one request that went into a sandbox. A
 * bounded number is kept, the last ones.
 */
#ifndef DT_SPAN_H
#define DT_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { DT_SPANS_MAX = 128, DT_TRACE_ID_SIZE = 16, DT_SPAN_ID_SIZE = 8 };

struct dt_span {
    uint8_t trace[DT_TRACE_ID_SIZE], id[DT_SPAN_ID_SIZE];
    uint8_t parent[DT_SPAN_ID_SIZE]; /* zeros: none that is known */
    int64_t start_ms;                /* since 1970 */
    uint64_t ns;                     /* how long it took */
    uint16_t op;                     /* which operation; whoever adds it knows the table */
    uint16_t status;                 /* of HTTP; 0: there was no answer */
    bool cut;                        /* it ended before its answer was complete */
};

struct dt_spans;

/* Makes the store at the first one; with no room left the oldest goes. NOMEM leaves it as it was.
 */
int dt_spans_add(struct dt_spans **all, const struct dt_span *s, struct dt_err *err) DT_MUST_CHECK;
/* NULL has none. */
size_t dt_spans_count(const struct dt_spans *all);
/* The memory that they take; NULL: none. */
size_t dt_spans_bytes(const struct dt_spans *all);
/* The i-th in the order in which they came, from 0. Borrowed until the next one is added. */
const struct dt_span *dt_spans_at(const struct dt_spans *all, size_t i);

/* Reads the header `traceparent` (W3C Trace Context, section 3.2) into `trace` and `parent`; false
 * leaves both alone: it is none, or one to be ignored. */
bool dt_span_read_parent(struct dt_str header, struct dt_span *s);
/* Exactly 2 * n hexadecimal digits in lower case. */
bool dt_span_read_hex(struct dt_str text, uint8_t *out, size_t n);

#endif
