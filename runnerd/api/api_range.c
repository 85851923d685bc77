#include "runnerd/api/api_range.h"

#include "base/clock.h"

enum { NOW_MS = 10000 };

int dt_api_read_time(const char *name, const char *text, int64_t *ms, struct dt_err *err)
{
    if (text == NULL || dt_clock_parse_iso(dt_str_z(text), ms) == 0)
        return 0;
    return dt_err_set(err, DT_E_BAD_REQUEST, "%s must be a date such as 2027-01-31T12:00:00Z",
                      name);
}

int dt_api_read_range(const char *from, const char *to, struct dt_range *ret, struct dt_err *err)
{
    struct dt_range r = {.from_ms = 0};
    if (dt_api_read_time("from", from, &r.from_ms, err) < 0 ||
        dt_api_read_time("to", to, &r.to_ms, err) < 0)
        return -1;
    if (r.from_ms > r.to_ms)
        return dt_err_set(err, DT_E_BAD_REQUEST, "from must not be after to");
    if (r.to_ms > dt_clock_real_ms() - NOW_MS)
        r.to_ms = DT_RANGE_OPEN;
    *ret = r;
    return 0;
}
