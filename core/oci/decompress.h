/* Layers and archives as they come (plain, gzip with any number of members, zstd) to plain bytes.
 */
#ifndef DT_DECOMPRESS_H
#define DT_DECOMPRESS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum {
    DT_DECOMPRESS_WINDOW_LOG_MAX = 27,   /* zstd: 128 MiB of memory */
    DT_DECOMPRESS_RATIO_MAX = 1000,      /* out : in, once more than ... */
    DT_DECOMPRESS_RATIO_FREE = 64 << 20, /* ... this many bytes came out */
};

enum dt_compression { DT_PLAIN, DT_GZIP, DT_ZSTD, DT_COMPRESSION_OTHER };
/* By the first bytes; OTHER is one that is recognised but not supported (xz, bzip2, lz4). */
enum dt_compression dt_compression_of(const unsigned char *head, size_t n);

struct dt_decompress_io {
    /* Up to n bytes; 0 at the end; -1 with err set. */
    ssize_t (*read)(void *ctx, void *buf, size_t n, struct dt_err *err);
    int (*write)(void *ctx, const void *p, size_t n, struct dt_err *err);
    void *ctx;
    uint64_t out_max; /* bytes; more is TOO_LARGE */
};

/* Reads to the end. INVALID when the data is damaged, truncated or has something behind its end;
 * LIMIT for a bomb. */
int dt_decompress(const struct dt_decompress_io *io, struct dt_err *err) DT_MUST_CHECK;

#endif
