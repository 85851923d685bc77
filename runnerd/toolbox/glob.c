#include "toolbox/glob.h"

#include <stdint.h>

/* The character at *i, which moves behind it. What is no UTF-8 is taken byte by byte, as a value
 * that no character has. */
static uint32_t next(struct dt_str s, size_t *i)
{
    unsigned char c = (unsigned char)s.p[(*i)++];
    unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : 0;
    uint32_t v = more == 3 ? c & 7u : more == 2 ? c & 15u : c & 31u;
    if (c < 0x80)
        return c;
    if (more == 0 || c > 0xf4 || s.n - *i < more)
        return 0x110000u + c;
    for (unsigned k = 0; k < more; k++) {
        unsigned char d = (unsigned char)s.p[*i + k];
        if ((d & 0xc0u) != 0x80)
            return 0x110000u + c;
        v = v << 6 | (d & 0x3fu);
    }
    *i += more;
    return v;
}

/* One end of a range; false at the end of the pattern. */
static bool range_end(struct dt_str p, size_t *i, uint32_t *ret)
{
    if (*i < p.n && p.p[*i] == '\\')
        (*i)++;
    if (*i >= p.n)
        return false;
    *ret = next(p, i);
    return true;
}

enum set { NO, YES, UNCLOSED, EMPTY, REVERSED };

/* Reads a set whose `[` is behind *i and says whether `c` is in it. */
static enum set in_set(struct dt_str p, size_t *i, uint32_t c)
{
    bool negated = *i < p.n && (p.p[*i] == '^' || p.p[*i] == '!');
    *i += negated;
    enum set found = NO;
    for (bool first = true;; first = false) {
        uint32_t from, to;
        if (*i < p.n && p.p[*i] == ']') {
            (*i)++;
            if (first)
                return EMPTY;
            return (found == YES) != negated ? YES : NO;
        }
        if (!range_end(p, i, &from))
            return UNCLOSED;
        to = from;
        if (*i + 1 < p.n && p.p[*i] == '-' && p.p[*i + 1] != ']') {
            (*i)++;
            if (!range_end(p, i, &to))
                return UNCLOSED;
        }
        if (to < from)
            return REVERSED;
        if (from <= c && c <= to)
            found = YES;
    }
}

int dt_glob_check(struct dt_str pattern, struct dt_err *err)
{
    static const char *const why[] = {
        [UNCLOSED] = "a `[` has no `]`",
        [EMPTY] = "`[]` is empty; write `\\[` for the character",
        [REVERSED] = "a range ends before it begins",
    };
    for (size_t i = 0; i < pattern.n;) {
        char c = pattern.p[i++];
        if (c == '\\' && i++ == pattern.n)
            return dt_err_set(err, DT_E_BAD_REQUEST, "malformed pattern: a `\\` at its end");
        if (c != '[')
            continue;
        enum set got = in_set(pattern, &i, 0);
        if (got >= UNCLOSED)
            return dt_err_set(err, DT_E_BAD_REQUEST, "malformed pattern: %s", why[got]);
    }
    return 0;
}

/* Whether the one element at *i, which is no `*`, is the character `c`; moves behind it. */
static bool fits(struct dt_str p, size_t *i, uint32_t c)
{
    switch (p.p[*i]) {
    case '?':
        (*i)++;
        return true;
    case '[':
        (*i)++;
        return in_set(p, i, c) == YES;
    case '\\':
        (*i)++;
        break;
    default:
        break;
    }
    return *i < p.n && next(p, i) == c;
}

bool dt_glob_match(struct dt_str pattern, struct dt_str name)
{
    size_t p = 0, n = 0, star = SIZE_MAX, resume = 0;
    while (n < name.n) {
        size_t at = n;
        if (p < pattern.n && pattern.p[p] == '*') {
            star = ++p;
            resume = n;
            continue;
        }
        uint32_t c = next(name, &at);
        if (p < pattern.n && fits(pattern, &p, c)) {
            n = at;
            continue;
        }
        if (star == SIZE_MAX)
            return false;
        /* The last star takes one character more; earlier ones need not be tried again. */
        (void)next(name, &resume);
        n = resume;
        p = star;
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}
