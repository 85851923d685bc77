#include "base/str.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool dt_bytes_eq_nocase(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i] && lower(a[i]) != lower(b[i]))
            return false;
    }
    return true;
}

struct dt_str dt_str_trim(struct dt_str s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

bool dt_str_cut(struct dt_str *rest, char sep, struct dt_str *piece)
{
    if (rest->p == NULL)
        return false;
    const char *at = rest->n == 0 ? NULL : memchr(rest->p, sep, rest->n);
    if (at == NULL) {
        *piece = *rest;
        *rest = (struct dt_str){NULL, 0};
        return true;
    }
    size_t before = (size_t)(at - rest->p);
    *piece = dt_str(rest->p, before);
    *rest = dt_str(at + 1, rest->n - before - 1);
    return true;
}

int dt_str_u64(struct dt_str s, unsigned long long max, unsigned long long *ret)
{
    if (s.n == 0 || s.n > 20 || (s.n > 1 && s.p[0] == '0'))
        return -1;
    unsigned long long v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -1;
        unsigned long long digit = (unsigned long long)(s.p[i] - '0');
        if (v > (~0ull - digit) / 10)
            return -1;
        v = v * 10 + digit;
    }
    if (v > max)
        return -1;
    *ret = v;
    return 0;
}
