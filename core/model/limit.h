/*
 * Counts of requests in windows of time, for limits. A window begins with its first request and
 * ends `ttl` later, whatever comes meanwhile. The room is fixed: when many are counted at once,
 * those with the fewest requests are forgotten first, so that nobody gets rid of a count by asking
 * under many names. Time comes in as an argument.
 */
#ifndef DT_LIMIT_H
#define DT_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"

enum { DT_LIMIT_NAME_SIZE = 16 };

/* Who is counted, for what. */
struct dt_limit_name {
    uint8_t bytes[DT_LIMIT_NAME_SIZE];
    uint32_t what;
};

struct dt_limit {
    int64_t count; /* requests allowed in a window; 0: no limit */
    int64_t ttl_ms;
};

struct dt_limit_state {
    bool over;         /* this one is too many */
    int64_t remaining; /* in this window */
    int64_t reset_ms;  /* until it ends */
};

struct dt_limits;

/* NULL without memory. */
struct dt_limits *dt_limits_new(void);
/* NULL is fine. Returns NULL. */
struct dt_limits *dt_limits_free(struct dt_limits *l);
/* Counts one. `l` NULL or limit.count 0: never over. */
struct dt_limit_state dt_limits_hit(struct dt_limits *l, const struct dt_limit_name *who,
                                    struct dt_limit limit, int64_t now_ms);
/* What the next one would meet, without counting it. */
struct dt_limit_state dt_limits_peek(const struct dt_limits *l, const struct dt_limit_name *who,
                                     struct dt_limit limit, int64_t now_ms);

#endif
