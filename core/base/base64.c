#include "base/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int dt_base64_encode(struct dt_buf *out, const void *p, size_t n, struct dt_err *err)
{
    if (dt_buf_reserve(out, (n + 2) / 3 * 4, err) < 0)
        return -1;
    const unsigned char *b = p;
    char *o = out->p + out->n;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)b[i] << 16;
        v |= i + 1 < n ? (uint32_t)b[i + 1] << 8 : 0;
        v |= i + 2 < n ? b[i + 2] : 0;
        *o++ = alphabet[v >> 18];
        *o++ = alphabet[v >> 12 & 63];
        *o++ = i + 1 < n ? alphabet[v >> 6 & 63] : '=';
        *o++ = i + 2 < n ? alphabet[v & 63] : '=';
    }
    *o = '\0';
    out->n = (size_t)(o - out->p);
    return 0;
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int dt_base64_decode(struct dt_buf *out, struct dt_str s, struct dt_err *err)
{
    if (dt_buf_reserve(out, s.n / 4 * 3 + 3, err) < 0)
        return -1;
    unsigned char *o = (unsigned char *)out->p + out->n;
    uint32_t bits = 0;
    int have = 0;
    size_t digits = 0;
    size_t padding = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            continue;
        int v = value_of(c);
        if (c == '=' && padding < 2) {
            padding++;
            continue;
        }
        if (v < 0 || padding > 0)
            return dt_err_set(err, DT_E_INVALID, "invalid base64 at position %zu", i);
        bits = bits << 6 | (uint32_t)v;
        digits++;
        have += 6;
        if (have >= 8) {
            have -= 8;
            *o++ = (unsigned char)(bits >> have);
        }
    }
    bool left_over = (bits & ((1u << have) - 1)) != 0;
    bool bad_padding = padding > 0 && (digits + padding) % 4 != 0;
    if (digits % 4 == 1 || left_over || bad_padding)
        return dt_err_set(err, DT_E_INVALID, "invalid base64: it ends in the middle of a byte");
    out->n = (size_t)((char *)o - out->p);
    out->p[out->n] = '\0';
    return 0;
}

int dt_base64url_decode(struct dt_buf *out, struct dt_str s, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf plain;
    dt_buf_init(&plain, s.n);
    if (dt_buf_reserve(&plain, s.n, err) < 0)
        return -1;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i] == '-' ? '+' : s.p[i] == '_' ? '/' : s.p[i];
        if (c == s.p[i] && (value_of(c) < 0 || value_of(c) > 61))
            return dt_err_set(err, DT_E_INVALID, "invalid base64url at position %zu", i);
        plain.p[plain.n++] = c;
    }
    return dt_base64_decode(out, dt_buf_str(&plain), err);
}
