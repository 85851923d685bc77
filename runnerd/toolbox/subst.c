#include "toolbox/subst.h"

#include <assert.h>

typedef int put_fn(void *ctx, const char *p, size_t n, struct dt_err *err);

static int fill(const struct dt_subst *s, int fd, size_t *have, bool *eof, struct dt_err *err)
{
    if (s->cancelled != NULL && atomic_load_explicit(s->cancelled, memory_order_relaxed))
        return dt_err_set(err, DT_E_CANCELLED, "cancelled");
    while (*have < s->size && !*eof) {
        ssize_t n = read(fd, s->buf + *have, s->size - *have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dt_err_errno(err, "read");
        *eof = n == 0;
        *have += (size_t)n;
    }
    return 0;
}

static const char *find(const struct dt_subst *s, const char *p, const char *end)
{
    return memmem(p, (size_t)(end - p), s->needle.p, s->needle.n);
}

/* Gives [buf, end) away with its needles replaced; returns behind the last byte that was used: a
 * needle may begin behind it. NULL when `put` failed. */
static const char *give(const struct dt_subst *s, const char *end, bool eof, put_fn *put, void *ctx,
                        struct dt_err *err)
{
    const char *p = s->buf, *hit;
    while ((hit = find(s, p, end)) != NULL) {
        if ((hit > p && put(ctx, p, (size_t)(hit - p), err) < 0) ||
            (s->value.n > 0 && put(ctx, s->value.p, s->value.n, err) < 0))
            return NULL;
        p = hit + s->needle.n;
    }
    size_t left = (size_t)(end - p), keep = eof ? 0 : s->needle.n - 1;
    size_t n = left > keep ? left - keep : 0;
    if (n > 0 && put(ctx, p, n, err) < 0)
        return NULL;
    return p + n;
}

int dt_subst_find(const struct dt_subst *s, int fd, bool *found, struct dt_err *err)
{
    size_t have = 0;
    bool eof = false;
    assert(s->needle.n > 0 && s->needle.n <= s->size / 2);
    do {
        if (fill(s, fd, &have, &eof, err) < 0)
            return -1;
        *found = find(s, s->buf, s->buf + have) != NULL;
        size_t keep = have < s->needle.n - 1 ? have : s->needle.n - 1;
        memmove(s->buf, s->buf + have - keep, keep);
        have = keep;
    } while (!*found && !eof);
    return 0;
}

int dt_subst_copy(const struct dt_subst *s, int fd, put_fn *put, void *ctx, struct dt_err *err)
{
    size_t have = 0;
    bool eof = false;
    assert(s->needle.n > 0 && s->needle.n <= s->size / 2);
    while (!eof) {
        if (fill(s, fd, &have, &eof, err) < 0)
            return -1;
        const char *used = give(s, s->buf + have, eof, put, ctx, err);
        if (used == NULL)
            return -1;
        have -= (size_t)(used - s->buf);
        memmove(s->buf, used, have);
    }
    return 0;
}
