/* Time. Deadlines use the monotonic clock; what people read uses the real one. */
#ifndef DT_CLOCK_H
#define DT_CLOCK_H

#include <stdint.h>

#include "base/str.h"

/* CLOCK_MONOTONIC, in milliseconds and in nanoseconds. */
uint64_t dt_clock_ms(void);
uint64_t dt_clock_ns(void);
/* Milliseconds since 1970-01-01T00:00:00Z. */
int64_t dt_clock_real_ms(void);

#define DT_CLOCK_ISO_SIZE 32
/* Writes `2025-10-31T12:00:00.000Z` (ISO 8601, UTC, milliseconds) and returns `out`.
 * For times from 1970 on. */
char *dt_clock_iso(int64_t real_ms, char out[DT_CLOCK_ISO_SIZE]);
/* Reads RFC 3339: a date, alone (midnight in UTC) or with a time, and then `Z` or an offset. From
 * 1970 to 9999; fractions of a second beyond milliseconds are cut off. -1: it is anything else. */
int dt_clock_parse_iso(struct dt_str text, int64_t *real_ms);

#endif
