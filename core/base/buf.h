/* A growable byte buffer that declares its maximum when it is made. */
#ifndef DT_BUF_H
#define DT_BUF_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* `p` is always followed by a NUL that `n` does not count, once something was added. */
struct dt_buf {
    char *p;
    size_t n;
    size_t cap;
    size_t max;
};

/* In the caller's memory; allocates nothing. `max` in bytes, without the closing NUL. */
void dt_buf_init(struct dt_buf *b, size_t max);
/* Frees the bytes and leaves an empty buffer with the same maximum. */
void dt_buf_done(struct dt_buf *b);
static inline struct dt_buf *dt_buf_done_ret(struct dt_buf *b)
{
    dt_buf_done(b);
    return NULL;
}
#define DT_AUTO_BUF __attribute__((unused, cleanup(dt_buf_done)))

/* All of these fail with TOO_LARGE above the maximum and NOMEM without memory, and then change
 * nothing. */
int dt_buf_add(struct dt_buf *b, const void *p, size_t n, struct dt_err *err) DT_MUST_CHECK;
int dt_buf_adds(struct dt_buf *b, struct dt_str s, struct dt_err *err) DT_MUST_CHECK;
int dt_buf_addz(struct dt_buf *b, const char *z, struct dt_err *err) DT_MUST_CHECK;
int dt_buf_addf(struct dt_buf *b, struct dt_err *err, const char *fmt, ...)
    DT_PRINTF(3, 4) DT_MUST_CHECK;
/* Makes room for `n` more bytes behind b->n, for callers that read() into it and then add to n. */
int dt_buf_reserve(struct dt_buf *b, size_t n, struct dt_err *err) DT_MUST_CHECK;

/* Drops the first n bytes. */
void dt_buf_consume(struct dt_buf *b, size_t n);
/* Keeps the memory. */
void dt_buf_clear(struct dt_buf *b);
static inline struct dt_str dt_buf_str(const struct dt_buf *b)
{
    return dt_str(b->p, b->n);
}
/* Hands the terminated bytes to the caller (free()) and leaves an empty buffer; never NULL unless
 * memory ran out. */
char *dt_buf_take(struct dt_buf *b);

#endif
