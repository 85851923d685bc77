/* Takes an HTTP/1 message apart, given in two pieces: wherever the cut is, the result must be the
 * same. */
#ifndef DT_FUZZ_HTTP1_SPLIT_H
#define DT_FUZZ_HTTP1_SPLIT_H

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "net/http1.h"

struct outcome {
    ssize_t head; /* its length, 0 when incomplete, -1 when refused */
    bool broken;  /* the head or the body was refused */
    bool complete;
    size_t used; /* bytes of the body's framing */
    size_t body;
    uint64_t hash;
};

static inline bool outcome_on_body(void *ctx, const char *p, size_t n)
{
    struct outcome *o = ctx;
    for (size_t i = 0; i < n; i++)
        o->hash = (o->hash ^ (unsigned char)p[i]) * 1099511628211u;
    o->body += n;
    return true;
}

/* Views must lie inside the head. */
static inline void check_view(struct dt_str s, const char *p, size_t n)
{
    assert(s.n == 0 || (s.p >= p && s.p + s.n <= p + n) || (s.n == 1 && s.p[0] == '/'));
    for (size_t i = 0; i < s.n; i++)
        assert(s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != '\0');
}

static inline void check_head(const struct dt_http1_head *h, const char *p, size_t n)
{
    check_view(h->method, p, n);
    check_view(h->target, p, n);
    check_view(h->host, p, n);
    assert(h->nheaders <= DT_HTTP_HEADERS_MAX);
    for (size_t i = 0; i < h->nheaders; i++) {
        check_view(h->headers[i].name, p, n);
        check_view(h->headers[i].value, p, n);
        assert(dt_http1_is_token(h->headers[i].name));
    }
}

static inline void feed(struct dt_http1 *x, struct outcome *o, const char *p, size_t n)
{
    struct dt_err err;
    if (o->broken || x->complete)
        return;
    ssize_t used = dt_http1_body(x, p, n, &err);
    o->broken = used < 0;
    if (used >= 0) {
        assert((size_t)used <= n && ((size_t)used == n || x->complete));
        o->used += (size_t)used;
    }
}

/* `type` 0 = request, 1 = answer, 2 = answer to HEAD. */
static inline struct outcome run_split(int type, const char *p, size_t n, size_t cut)
{
    struct outcome o = {.hash = 14695981039346656037u};
    struct dt_http1_scan scan = {0};
    struct dt_http1 x = {.on_body = outcome_on_body, .ctx = &o};
    struct dt_http_header headers[DT_HTTP_HEADERS_MAX];
    struct dt_http1_head head;
    struct dt_err err;
    o.head = dt_http1_scan(&scan, p, cut, &err);
    if (o.head == 0)
        o.head = dt_http1_scan(&scan, p, n, &err);
    o.broken = o.head < 0;
    if (o.head <= 0)
        return o;
    size_t len = (size_t)o.head;
    char *copy = malloc(len);
    assert(copy != NULL);
    memcpy(copy, p, len);
    int r = type == 0 ? dt_http1_request(&x, copy, len, headers, &head, &err)
                      : dt_http1_answer(&x, copy, len, type == 2, headers, &head, &err);
    o.broken = r < 0;
    if (r == 0) {
        check_head(&head, copy, len);
        size_t first = cut > len ? cut : len;
        feed(&x, &o, p + len, first - len);
        feed(&x, &o, p + first, n - first);
        o.complete = x.complete;
        if (type != 0 && !o.broken)
            o.complete = dt_http1_ended(&x);
    }
    free(copy);
    return o;
}

static inline void run_all_splits(int type, const char *p, size_t n)
{
    struct outcome whole = run_split(type, p, n, n);
    size_t step = n < 600 ? 1 : n / 300;
    for (size_t cut = 0; cut < n; cut += step) {
        struct outcome o = run_split(type, p, n, cut);
        assert(o.head == whole.head && o.broken == whole.broken);
        if (!o.broken)
            assert(o.complete == whole.complete && o.used == whole.used && o.body == whole.body &&
                   o.hash == whole.hash);
    }
}

#endif
