#include "base/clock.h"

#include <stdio.h>
#include <time.h>

uint64_t dt_clock_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t dt_clock_ms(void)
{
    return dt_clock_ns() / 1000000u;
}

int64_t dt_clock_real_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Not gmtime_r(): glibc's reads the time zone's file first, which a sandbox should not pay for. The
 * calendar repeats every 400 years of 146,097 days; years begin in March, so that the leap day is
 * their last. */
char *dt_clock_iso(int64_t real_ms, char out[DT_CLOCK_ISO_SIZE])
{
    int64_t secs = real_ms / 1000;
    int64_t days = secs / 86400 + 719468; /* since 0000-03-01 */
    int64_t era = days / 146097;
    int64_t day = days % 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t of_year = day - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153; /* 0 = March */
    int64_t of_month = of_year - (153 * month + 2) / 5 + 1;
    year += era * 400 + (month >= 10);
    month = month < 10 ? month + 3 : month - 9;
    (void)snprintf(out, DT_CLOCK_ISO_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)year,
                   (int)month, (int)of_month, (int)(secs / 3600 % 24), (int)(secs / 60 % 60),
                   (int)(secs % 60), (int)(real_ms % 1000));
    return out;
}
