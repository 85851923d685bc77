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

/* Exactly n digits from the front of *s; -1 when they are not there. */
static int take_digits(struct dt_str *s, size_t n)
{
    int v = 0;
    if (s->n < n)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return -1;
        v = v * 10 + (s->p[i] - '0');
    }
    *s = dt_str(s->p + n, s->n - n);
    return v;
}

static bool take_char(struct dt_str *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = dt_str(s->p + 1, s->n - 1);
    return true;
}

/* The way back of dt_clock_iso(). */
static int take_date(struct dt_str *s, int64_t *days)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year = take_digits(s, 4);
    int month = take_char(s, '-') ? take_digits(s, 2) : -1;
    int day = take_char(s, '-') ? take_digits(s, 2) : -1;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (year < 1970 || month < 1 || month > 12 || day < 1 ||
        day > lengths[month - 1] + (leap && month == 2))
        return -1;
    year -= month <= 2;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    *days = 365 * year + year / 4 - year / 100 + year / 400 + of_year - 719468;
    return 0;
}

static int take_time(struct dt_str *s, int64_t *ms)
{
    int hour = take_digits(s, 2);
    int minute = take_char(s, ':') ? take_digits(s, 2) : -1;
    int second = take_char(s, ':') ? take_digits(s, 2) : -1;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return -1;
    *ms = ((hour * 60 + minute) * 60 + second) * (int64_t)1000;
    if (!take_char(s, '.'))
        return 0;
    int64_t unit = 100;
    int digit = take_digits(s, 1);
    if (digit < 0)
        return -1;
    for (; digit >= 0; digit = take_digits(s, 1), unit /= 10)
        *ms += digit * unit;
    return 0;
}

static int take_offset(struct dt_str *s, int64_t *ms)
{
    if (take_char(s, 'Z') || take_char(s, 'z'))
        return 0;
    int sign = take_char(s, '+') ? 1 : take_char(s, '-') ? -1 : 0;
    int hour = take_digits(s, 2);
    (void)take_char(s, ':');
    int minute = take_digits(s, 2);
    if (sign == 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59)
        return -1;
    *ms = sign * (hour * 60 + minute) * (int64_t)60000;
    return 0;
}

int dt_clock_parse_iso(struct dt_str text, int64_t *real_ms)
{
    int64_t days, ms = 0, offset = 0;
    if (take_date(&text, &days) < 0)
        return -1;
    if (text.n > 0 &&
        ((!take_char(&text, 'T') && !take_char(&text, 't') && !take_char(&text, ' ')) ||
         take_time(&text, &ms) < 0 || take_offset(&text, &offset) < 0 || text.n > 0))
        return -1;
    int64_t at = days * 86400000 + ms - offset;
    if (at < 0)
        return -1;
    *real_ms = at;
    return 0;
}
