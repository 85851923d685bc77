#include "oci/decompress.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { CHUNK = 128 * 1024 };

struct stream {
    const struct dt_decompress_io *io;
    unsigned char *in, *out; /* CHUNK bytes each */
    const unsigned char *at; /* what was read ahead and not used yet, in `in` */
    size_t have;
    uint64_t total_in, total_out;
};

enum dt_compression dt_compression_of(const unsigned char *head, size_t n)
{
    static const struct {
        unsigned char magic[6];
        unsigned char n;
        enum dt_compression is;
    } rows[] = {
        {{0x1f, 0x8b}, 2, DT_GZIP},
        {{0x28, 0xb5, 0x2f, 0xfd}, 4, DT_ZSTD},
        {{0xfd, '7', 'z', 'X', 'Z', 0}, 6, DT_COMPRESSION_OTHER},
        {{'B', 'Z', 'h'}, 3, DT_COMPRESSION_OTHER},
        {{0x04, 0x22, 0x4d, 0x18}, 4, DT_COMPRESSION_OTHER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (n >= rows[i].n && memcmp(head, rows[i].magic, rows[i].n) == 0)
            return rows[i].is;
    /* A skippable frame, as seekable zstd begins with. */
    if (n >= 4 && (head[0] & 0xf0) == 0x50 && memcmp(head + 1, "\x2a\x4d\x18", 3) == 0)
        return DT_ZSTD;
    return DT_PLAIN;
}

/* 1 = there is input, 0 = the end. */
static int more(struct stream *s, struct dt_err *err)
{
    if (s->have > 0)
        return 1;
    ssize_t got = s->io->read(s->io->ctx, s->in, CHUNK, err);
    if (got < 0)
        return -1;
    s->at = s->in;
    s->have = (size_t)got;
    s->total_in += (uint64_t)got;
    return got > 0;
}

static int emit(struct stream *s, const void *p, size_t n, struct dt_err *err)
{
    if (n == 0)
        return 0;
    s->total_out += n;
    if (s->total_out > s->io->out_max)
        return dt_err_set(err, DT_E_TOO_LARGE, "more than %llu bytes uncompressed",
                          (unsigned long long)s->io->out_max);
    if (s->total_out > DT_DECOMPRESS_RATIO_FREE &&
        s->total_out / DT_DECOMPRESS_RATIO_MAX > s->total_in)
        return dt_err_set(err, DT_E_LIMIT, "expands more than %d:1; this looks like a bomb",
                          DT_DECOMPRESS_RATIO_MAX);
    return s->io->write(s->io->ctx, p, n, err);
}

static int plain(struct stream *s, struct dt_err *err)
{
    int got;
    while ((got = more(s, err)) > 0) {
        if (emit(s, s->at, s->have, err) < 0)
            return -1;
        s->have = 0;
    }
    return got;
}

static int gzip_member(struct stream *s, z_stream *z, struct dt_err *err)
{
    int rc = Z_OK;
    while (rc != Z_STREAM_END) {
        int got = more(s, err);
        if (got < 0)
            return -1;
        if (got == 0)
            return dt_err_set(err, DT_E_INVALID, "the gzip data is truncated");
        z->next_in = (unsigned char *)s->at;
        z->avail_in = (uInt)s->have;
        do {
            z->next_out = s->out;
            z->avail_out = CHUNK;
            rc = inflate(z, Z_NO_FLUSH);
            if (rc != Z_OK && rc != Z_STREAM_END && (rc != Z_BUF_ERROR || z->avail_in > 0))
                return dt_err_set(err, DT_E_INVALID, "the gzip data is damaged: %s",
                                  z->msg != NULL ? z->msg : "inflate failed");
            if (emit(s, s->out, CHUNK - z->avail_out, err) < 0)
                return -1;
        } while (rc == Z_OK && (z->avail_in > 0 || z->avail_out == 0));
        s->at = z->next_in;
        s->have = z->avail_in;
    }
    return 0;
}

/* Archivers pad with zeros; anything else behind the last member was put there to be overlooked. */
static int gzip_tail(struct stream *s, struct dt_err *err)
{
    int got;
    while ((got = more(s, err)) > 0) {
        for (size_t i = 0; i < s->have; i++)
            if (s->at[i] != 0)
                return dt_err_set(err, DT_E_INVALID, "there is garbage behind the gzip data");
        s->have = 0;
    }
    return got;
}

static int gzip(struct stream *s, z_stream *z, struct dt_err *err)
{
    for (;;) {
        if (gzip_member(s, z, err) < 0)
            return -1;
        int got = more(s, err);
        if (got <= 0)
            return got;
        if (s->at[0] != 0x1f)
            return gzip_tail(s, err);
        if (inflateReset(z) != Z_OK)
            return dt_err_set(err, DT_E_SYSTEM, "inflateReset");
    }
}

static int gzip_run(struct stream *s, struct dt_err *err)
{
    z_stream z = {0};
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return dt_err_set(err, DT_E_NOMEM, "zlib");
    int rc = gzip(s, &z, err);
    (void)inflateEnd(&z);
    return rc;
}

static int zstd(struct stream *s, ZSTD_DCtx *z, struct dt_err *err)
{
    size_t rc = 0;
    int got;
    while ((got = more(s, err)) > 0) {
        ZSTD_inBuffer in = {s->at, s->have, 0};
        ZSTD_outBuffer out = {s->out, CHUNK, 0};
        do {
            out.pos = 0;
            rc = ZSTD_decompressStream(z, &out, &in);
            if (ZSTD_isError(rc))
                return dt_err_set(err, DT_E_INVALID, "the zstd data is damaged: %s",
                                  ZSTD_getErrorName(rc));
            if (emit(s, s->out, out.pos, err) < 0)
                return -1;
        } while (in.pos < in.size || (rc != 0 && out.pos == out.size));
        s->have = 0;
    }
    if (got == 0 && rc != 0)
        return dt_err_set(err, DT_E_INVALID, "the zstd data is truncated");
    return got;
}

static int zstd_run(struct stream *s, struct dt_err *err)
{
    ZSTD_DCtx *z = ZSTD_createDCtx();
    if (z == NULL)
        return dt_err_set(err, DT_E_NOMEM, "zstd");
    int rc = -1;
    if (ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, DT_DECOMPRESS_WINDOW_LOG_MAX)))
        (void)dt_err_set(err, DT_E_SYSTEM, "zstd refused its window limit");
    else
        rc = zstd(s, z, err);
    (void)ZSTD_freeDCtx(z);
    return rc;
}

/* Enough of the beginning to tell what it is. */
static int head(struct stream *s, struct dt_err *err)
{
    s->at = s->in;
    while (s->have < 6) {
        ssize_t got = s->io->read(s->io->ctx, s->in + s->have, CHUNK - s->have, err);
        if (got < 0)
            return -1;
        if (got == 0)
            return 0;
        s->have += (size_t)got;
        s->total_in += (uint64_t)got;
    }
    return 0;
}

int dt_decompress(const struct dt_decompress_io *io, struct dt_err *err)
{
    DT_AUTO_FREE unsigned char *buffers = malloc(2 * (size_t)CHUNK);
    if (buffers == NULL)
        return dt_err_set(err, DT_E_NOMEM, "decompression buffers");
    struct stream s = {.io = io, .in = buffers, .out = buffers + CHUNK};
    if (head(&s, err) < 0)
        return -1;
    switch (dt_compression_of(s.in, s.have)) {
    case DT_GZIP:
        return gzip_run(&s, err);
    case DT_ZSTD:
        return zstd_run(&s, err);
    case DT_COMPRESSION_OTHER:
        return dt_err_set(err, DT_E_UNSUPPORTED,
                          "compressed in another way than gzip or zstd; unpack it first");
    case DT_PLAIN:
        break;
    }
    return plain(&s, err);
}
