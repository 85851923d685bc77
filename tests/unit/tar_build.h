/* Tar archives made by hand, so that they can be wrong in every way. */
#ifndef TAR_BUILD_H
#define TAR_BUILD_H

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

/* What a header says; `data` follows it. */
struct tb_entry {
    char type; /* 0 = '0' */
    const char *name;
    const char *link;
    const void *data;
    size_t n;
    unsigned mode; /* 0 = 0644 */
    unsigned long long uid, gid, mtime;
    const char *size_field; /* instead of n, as it stands */
    const char *uid_field;
};

static inline void tb_add(struct dt_buf *b, const void *p, size_t n)
{
    struct dt_err err;
    if (dt_buf_add(b, p, n, &err) < 0)
        abort();
}

static inline void tb_pad(struct dt_buf *b)
{
    static const char zeros[512];
    tb_add(b, zeros, (512 - b->n % 512) % 512);
}

static inline void tb_sum(char block[512])
{
    unsigned sum = 0;
    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++)
        sum += (unsigned char)block[i];
    (void)snprintf(block + 148, 8, "%06o", sum);
}

/* A text field need not end with NUL when it is full. */
static inline void tb_text(char *field, const char *z, size_t max)
{
    for (size_t i = 0; z != NULL && z[i] != '\0' && i < max; i++)
        field[i] = z[i];
}

static inline void tb_put(struct dt_buf *b, const struct tb_entry *e)
{
    char block[512] = {0};
    tb_text(block, e->name, 100);
    (void)snprintf(block + 100, 8, "%07o", e->mode != 0 ? e->mode : 0644);
    (void)snprintf(block + 108, 8, "%07llo", e->uid & 07777777);
    (void)snprintf(block + 116, 8, "%07llo", e->gid & 07777777);
    (void)snprintf(block + 124, 12, "%011zo", e->n);
    (void)snprintf(block + 136, 12, "%011llo", e->mtime);
    block[156] = '0';
    if (e->type != 0)
        block[156] = e->type;
    tb_text(block + 157, e->link, 100);
    tb_text(block + 257, "ustar", 5);
    tb_text(block + 263, "00", 2);
    for (size_t i = 0; e->size_field != NULL && i < 12; i++)
        block[124 + i] = e->size_field[i];
    for (size_t i = 0; e->uid_field != NULL && i < 8; i++)
        block[108 + i] = e->uid_field[i];
    tb_sum(block);
    tb_add(b, block, sizeof(block));
    tb_add(b, e->data, e->data != NULL ? e->n : 0);
    tb_pad(b);
}

/* One pax record, with its length worked out. */
static inline void tb_record(struct dt_buf *pax, const char *key, const void *value, size_t n)
{
    char head[300];
    size_t body = 1 + strlen(key) + 1 + n + 1; /* " key=value\n" */
    size_t len = body + 1;
    for (;;) {
        char digits[24];
        size_t d = (size_t)snprintf(digits, sizeof(digits), "%zu", len);
        if (d + body == len)
            break;
        len = d + body;
    }
    tb_add(pax, head, (size_t)snprintf(head, sizeof(head), "%zu %s=", len, key));
    tb_add(pax, value, n);
    tb_add(pax, "\n", 1);
}

static inline void tb_end(struct dt_buf *b)
{
    static const char zeros[1024];
    tb_add(b, zeros, sizeof(zeros));
}

#endif
