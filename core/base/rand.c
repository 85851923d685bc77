#include "base/rand.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void dt_rand_bytes(void *out, size_t n)
{
    char *p = out;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0)
            abort();
        p += got;
        n -= (size_t)got;
    }
}

void dt_hex(const void *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = bytes;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * n] = '\0';
}

void dt_rand_uuid(char out[DT_UUID_SIZE])
{
    unsigned char b[16];
    dt_rand_bytes(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    char hex[33];
    dt_hex(b, sizeof(b), hex);
    (void)snprintf(out, DT_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                   hex + 20);
}

bool dt_is_uuid(const char *z)
{
    for (int i = 0; i < DT_UUID_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (z[i] >= '0' && z[i] <= '9') || (z[i] >= 'a' && z[i] <= 'f');
        if (dash ? z[i] != '-' : !hex)
            return false;
    }
    return z[DT_UUID_SIZE - 1] == '\0';
}

void dt_rand_alnum(char *out, size_t n)
{
    static const char set[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    unsigned char bytes[64];
    size_t left = 0;
    size_t done = 0;
    while (done < n) {
        if (left == 0)
            dt_rand_bytes(bytes, left = sizeof(bytes));
        unsigned char b = bytes[--left];
        if (b < 252) /* the largest multiple of 36 below 256 */
            out[done++] = set[b % 36];
    }
    out[n] = '\0';
}

bool dt_equal_secret(const void *a, const void *b, size_t n)
{
    const volatile unsigned char *x = a;
    const volatile unsigned char *y = b;
    unsigned char diff = 0;
    for (size_t i = 0; i < n; i++)
        diff |= x[i] ^ y[i];
    return diff == 0;
}
