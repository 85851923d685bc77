/* The form parser: the same parts must come out whatever the pieces it is fed in. */
#include <assert.h>
#include <stdint.h>

#include "toolbox/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
    uint64_t hash;
};

static void mix(struct sum *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s->hash = (s->hash ^ (unsigned char)p[i]) * 1099511628211u;
}

static void on_part(void *ctx, const char *name, const char *filename)
{
    mix(ctx, "[", 1);
    mix(ctx, name != NULL ? name : "-", name != NULL ? strlen(name) + 1 : 1);
    mix(ctx, filename != NULL ? filename : "-", filename != NULL ? strlen(filename) + 1 : 1);
}

static void on_data(void *ctx, const char *p, size_t n)
{
    mix(ctx, p, n);
}

static void on_part_end(void *ctx)
{
    mix(ctx, "]", 1);
}

static int run(struct dt_str type, struct dt_str body, size_t step, struct sum *s)
{
    static const struct dt_multipart_events events = {on_part, on_data, on_part_end};
    struct dt_multipart m;
    struct dt_err err;
    s->hash = 14695981039346656037u;
    if (dt_multipart_init(&m, type, &events, s, &err) < 0)
        return -2;
    int r = 0;
    for (size_t i = 0; r == 0 && i < body.n; i += step)
        r = dt_multipart_feed(&m, body.p + i, body.n - i < step ? body.n - i : step, &err);
    if (r == 0)
        r = dt_multipart_end(&m, &err);
    dt_multipart_done(&m);
    return r;
}

/* The first line is the Content-Type, the rest the body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_str body = dt_str((const char *)data, size), type;
    if (!dt_str_cut(&body, '\n', &type))
        return 0;
    struct sum whole, bytes, threes;
    int r = run(type, body, body.n + 1, &whole);
    /* A refused form may have given away more or fewer of its bytes before the fault. */
    assert(run(type, body, 1, &bytes) == r && (r != 0 || bytes.hash == whole.hash));
    assert(run(type, body, 3, &threes) == r && (r != 0 || threes.hash == whole.hash));
    return 0;
}
