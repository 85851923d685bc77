#include "base/utf8.h"

/* The length of the character at s.p, or 0 when no valid one begins there. */
static size_t char_length(struct dt_str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    if (s.n == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || s.n < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
    bool beyond = p[0] == 0xf4 && p[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : n;
}

bool dt_utf8_valid(struct dt_str s)
{
    while (s.n > 0) {
        size_t n = char_length(s);
        if (n == 0)
            return false;
        s.p += n;
        s.n -= n;
    }
    return true;
}

size_t dt_utf8_cut(struct dt_str s, size_t max)
{
    if (s.n <= max)
        return s.n;
    size_t start = max;
    while (start > 0 && max - start < 3 && ((unsigned char)s.p[start] & 0xc0) == 0x80)
        start--;
    size_t n = char_length(dt_str(s.p + start, s.n - start));
    return n > 1 && start + n > max ? start : max;
}

int dt_utf8_repair(struct dt_buf *out, struct dt_str s, struct dt_err *err)
{
    while (s.n > 0) {
        size_t good = 0;
        size_t n;
        while (good < s.n && (n = char_length(dt_str(s.p + good, s.n - good))) > 0)
            good += n;
        if (dt_buf_add(out, s.p, good, err) < 0)
            return -1;
        s = dt_str(s.p + good, s.n - good);
        if (s.n > 0) {
            if (dt_buf_addz(out, "\xef\xbf\xbd", err) < 0)
                return -1;
            s = dt_str(s.p + 1, s.n - 1);
        }
    }
    return 0;
}

void dt_utf8_mask(char *z)
{
    char *end = z + strlen(z);
    while (z < end) {
        size_t n = char_length(dt_str(z, (size_t)(end - z)));
        if (n == 0)
            *z = '?';
        z += n > 0 ? n : 1;
    }
}
