/* A view of bytes that somebody else owns. Not terminated; may hold NUL. */
#ifndef DT_STR_H
#define DT_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct dt_str {
    const char *p;
    size_t n;
};

/* For string literals: DT_STR("abc"). */
#define DT_STR(lit) ((struct dt_str){(lit), sizeof(lit) - 1})

static inline struct dt_str dt_str(const char *p, size_t n)
{
    return (struct dt_str){p, n};
}

/* NULL gives an empty view. */
static inline struct dt_str dt_str_z(const char *z)
{
    return (struct dt_str){z, z == NULL ? 0 : strlen(z)};
}

static inline bool dt_str_eq(struct dt_str a, struct dt_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool dt_str_starts(struct dt_str s, struct dt_str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool dt_bytes_eq_nocase(const char *a, const char *b, size_t n);
/* ASCII only, as HTTP field names need. Most names differ in their length already. */
static inline bool dt_str_eq_nocase(struct dt_str a, struct dt_str b)
{
    return a.n == b.n && dt_bytes_eq_nocase(a.p, b.p, a.n);
}

/* Without leading and trailing spaces and tabs. */
struct dt_str dt_str_trim(struct dt_str s);
/* Cuts `*rest` at the first `sep`: returns what stood before it and moves *rest behind it. Returns
 * false when *rest is exhausted (rest->p == NULL); a trailing separator yields one empty piece. */
bool dt_str_cut(struct dt_str *rest, char sep, struct dt_str *piece);
/* Decimal digits only: no sign, no space, no prefix, no leading zero but "0" itself. Returns -1
 * when the text is anything else or exceeds `max`. */
int dt_str_u64(struct dt_str s, unsigned long long max, unsigned long long *ret);

#endif
