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

char *dt_clock_iso(int64_t real_ms, char out[DT_CLOCK_ISO_SIZE])
{
    time_t secs = (time_t)(real_ms / 1000);
    struct tm tm;
    (void)gmtime_r(&secs, &tm);
    (void)snprintf(out, DT_CLOCK_ISO_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                   (int)(real_ms % 1000));
    return out;
}
