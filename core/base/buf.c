#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

void dt_buf_init(struct dt_buf *b, size_t max)
{
    *b = (struct dt_buf){.max = max};
}

void dt_buf_done(struct dt_buf *b)
{
    free(b->p);
    *b = (struct dt_buf){.max = b->max};
}

int dt_buf_reserve(struct dt_buf *b, size_t n, struct dt_err *err)
{
    if (n > b->max || b->n > b->max - n)
        return dt_err_set(err, DT_E_TOO_LARGE, "more than %zu bytes", b->max);
    size_t need = b->n + n + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need)
        cap += cap / 2;
    if (cap > b->max + 1)
        cap = b->max + 1;
    char *p = realloc(b->p, cap);
    if (p == NULL)
        return dt_err_set(err, DT_E_NOMEM, "buffer of %zu bytes", cap);
    b->p = p;
    b->cap = cap;
    b->p[b->n] = '\0';
    return 0;
}

int dt_buf_add(struct dt_buf *b, const void *p, size_t n, struct dt_err *err)
{
    if (dt_buf_reserve(b, n, err) < 0)
        return -1;
    if (n > 0)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
    return 0;
}

int dt_buf_adds(struct dt_buf *b, struct dt_str s, struct dt_err *err)
{
    return dt_buf_add(b, s.p, s.n, err);
}

int dt_buf_addz(struct dt_buf *b, const char *z, struct dt_err *err)
{
    return dt_buf_add(b, z, strlen(z), err);
}

int dt_buf_addf(struct dt_buf *b, struct dt_err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return dt_err_set(err, DT_E_SYSTEM, "format '%s'", fmt);
    if (dt_buf_reserve(b, (size_t)n, err) < 0)
        return -1;
    va_start(ap, fmt);
    (void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
    return 0;
}

void dt_buf_consume(struct dt_buf *b, size_t n)
{
    if (n >= b->n) {
        dt_buf_clear(b);
        return;
    }
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
    b->p[b->n] = '\0';
}

void dt_buf_clear(struct dt_buf *b)
{
    b->n = 0;
    if (b->p != NULL)
        b->p[0] = '\0';
}

char *dt_buf_take(struct dt_buf *b)
{
    char *p = b->p != NULL ? b->p : calloc(1, 1);
    size_t max = b->max;
    *b = (struct dt_buf){.max = max};
    return p;
}
