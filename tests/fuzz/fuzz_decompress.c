/* Compressed streams, and the limit on what comes out of them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oci/decompress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 1 << 20 };

struct memory {
    const uint8_t *p;
    size_t n, at, out;
};

static ssize_t memory_read(void *ctx, void *buf, size_t n, struct dt_err *err)
{
    (void)err;
    struct memory *m = ctx;
    size_t k = m->n - m->at < n ? m->n - m->at : n;
    if (k > 777)
        k = 777;
    if (k > 0)
        memcpy(buf, m->p + m->at, k);
    m->at += k;
    return (ssize_t)k;
}

static int count(void *ctx, const void *p, size_t n, struct dt_err *err)
{
    (void)p;
    (void)err;
    struct memory *m = ctx;
    m->out += n;
    if (m->out > OUT_MAX)
        abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory m = {data, size, 0, 0};
    struct dt_err err;
    const struct dt_decompress_io io = {
        .read = memory_read, .write = count, .ctx = &m, .out_max = OUT_MAX};
    if (dt_decompress(&io, &err) == 0 && m.at != size)
        abort(); /* success means that all of it was read */
    return 0;
}
