/* Times and ranges of times in queries. */
#ifndef DT_API_RANGE_H
#define DT_API_RANGE_H

#include <stdint.h>

#include "base/err.h"

#define DT_RANGE_OPEN INT64_MAX

struct dt_range {
    int64_t from_ms, to_ms; /* since 1970; both ends belong to it */
};

/* BAD_REQUEST names the parameter. `text` NULL leaves *ms as it is. */
int dt_api_read_time(const char *name, const char *text, int64_t *ms,
                     struct dt_err *err) DT_MUST_CHECK;
/* Of the parameters `from` and `to`, which the schema requires. One that ends now, or has ended
 * within the last ten seconds (clients' clocks are not ours), gets the end DT_RANGE_OPEN. */
int dt_api_read_range(const char *from, const char *to, struct dt_range *ret,
                      struct dt_err *err) DT_MUST_CHECK;

#endif
