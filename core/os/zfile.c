#include "os/zfile.h"

#include <fcntl.h>
#include <string.h>
#include <zstd.h>

#include "base/auto.h"
#include "base/fd.h"

/* A frame ends after so much content: what is damaged is found before all of it was read. */
#define FRAME_BYTES ((uint64_t)32 << 20)

enum { LEVEL = 3, WINDOW_LOG_MAX = 23, BUFFER_BYTES = 256 << 10, PACE_BYTES = 64 << 20 };

struct dt_zfile_writer {
    int fd;
    ZSTD_CCtx *z;
    uint64_t in_frame;
    uint64_t written;
    unsigned char out[BUFFER_BYTES];
};

struct dt_zfile_reader {
    int fd;
    ZSTD_DCtx *z;
    ZSTD_inBuffer in;
    size_t hint; /* of the last step: 0 = between frames */
    bool eof;
    unsigned char buffer[BUFFER_BYTES];
};

static int zstd_error(const char *what, size_t code, struct dt_err *err)
{
    return dt_err_set(err, DT_E_INVALID, "%s: %s", what, ZSTD_getErrorName(code));
}

int dt_zfile_writer_new(int fd, struct dt_zfile_writer **ret, struct dt_err *err)
{
    DT_AUTO(dt_zfile_writer_free) struct dt_zfile_writer *w = calloc(1, sizeof(*w));
    if (w == NULL || (w->z = ZSTD_createCCtx()) == NULL)
        return dt_err_set(err, DT_E_NOMEM, "compression");
    w->fd = fd;
    if (ZSTD_isError(ZSTD_CCtx_setParameter(w->z, ZSTD_c_compressionLevel, LEVEL)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(w->z, ZSTD_c_checksumFlag, 1)))
        return dt_err_set(err, DT_E_SYSTEM, "compression: libzstd refuses its parameters");
    *ret = dt_take(w);
    return 0;
}

struct dt_zfile_writer *dt_zfile_writer_free(struct dt_zfile_writer *w)
{
    if (w != NULL)
        (void)ZSTD_freeCCtx(w->z);
    free(w);
    return NULL;
}

static int put(struct dt_zfile_writer *w, size_t n, struct dt_err *err)
{
    enum { WHOLE = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE };
    if (dt_fd_write_all(w->fd, w->out, n, err) == 0) {
        /* So that whoever syncs the file at the end waits for little. */
        if ((w->written + n) / PACE_BYTES != w->written / PACE_BYTES)
            (void)sync_file_range(w->fd, (off_t)(w->written / PACE_BYTES * PACE_BYTES), PACE_BYTES,
                                  WHOLE);
        w->written += n;
        return 0;
    }
    if (err->sys_errno == ENOSPC || err->sys_errno == EDQUOT)
        err->code = DT_E_LIMIT;
    return -1;
}

static int step(struct dt_zfile_writer *w, ZSTD_inBuffer *in, ZSTD_EndDirective how,
                struct dt_err *err)
{
    size_t left;
    do {
        ZSTD_outBuffer out = {w->out, sizeof(w->out), 0};
        left = ZSTD_compressStream2(w->z, &out, in, how);
        if (ZSTD_isError(left))
            return zstd_error("compression", left, err);
        if (out.pos > 0 && put(w, out.pos, err) < 0)
            return -1;
    } while (how == ZSTD_e_end ? left > 0 : in->pos < in->size);
    return 0;
}

int dt_zfile_write(struct dt_zfile_writer *w, const void *p, size_t n, struct dt_err *err)
{
    ZSTD_inBuffer in = {p, n, 0};
    if (step(w, &in, ZSTD_e_continue, err) < 0)
        return -1;
    w->in_frame += n;
    return w->in_frame < FRAME_BYTES ? 0 : dt_zfile_finish(w, err);
}

int dt_zfile_finish(struct dt_zfile_writer *w, struct dt_err *err)
{
    ZSTD_inBuffer none = {NULL, 0, 0};
    if (w->in_frame == 0)
        return 0;
    w->in_frame = 0;
    return step(w, &none, ZSTD_e_end, err);
}

int dt_zfile_reader_new(int fd, struct dt_zfile_reader **ret, struct dt_err *err)
{
    DT_AUTO(dt_zfile_reader_free) struct dt_zfile_reader *r = calloc(1, sizeof(*r));
    if (r == NULL || (r->z = ZSTD_createDCtx()) == NULL)
        return dt_err_set(err, DT_E_NOMEM, "decompression");
    if (ZSTD_isError(ZSTD_DCtx_setParameter(r->z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
        return dt_err_set(err, DT_E_SYSTEM, "decompression: libzstd refuses its parameters");
    r->fd = fd;
    r->in.src = r->buffer;
    *ret = dt_take(r);
    return 0;
}

struct dt_zfile_reader *dt_zfile_reader_free(struct dt_zfile_reader *r)
{
    if (r != NULL)
        (void)ZSTD_freeDCtx(r->z);
    free(r);
    return NULL;
}

static int refill(struct dt_zfile_reader *r, struct dt_err *err)
{
    ssize_t n;
    do
        n = read(r->fd, r->buffer, sizeof(r->buffer));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return dt_err_errno(err, "read");
    r->in.pos = 0;
    r->in.size = (size_t)n;
    r->eof = n == 0;
    return 0;
}

/* One call of the decoder; false in *more when the file is at its end. */
static int decode(struct dt_zfile_reader *r, ZSTD_outBuffer *out, bool *more, struct dt_err *err)
{
    if (r->in.pos == r->in.size && !r->eof && refill(r, err) < 0)
        return -1;
    size_t before = out->pos, used = r->in.pos;
    size_t hint = ZSTD_decompressStream(r->z, out, &r->in);
    if (ZSTD_isError(hint))
        return zstd_error("the archive is damaged", hint, err);
    bool moved = out->pos > before || r->in.pos > used;
    if (moved)
        r->hint = hint;
    *more = moved || !r->eof;
    return 0;
}

int dt_zfile_read(struct dt_zfile_reader *r, void *p, size_t n, struct dt_err *err)
{
    ZSTD_outBuffer out = {p, n, 0};
    while (out.pos < out.size) {
        bool more = false;
        if (decode(r, &out, &more, err) < 0)
            return -1;
        if (!more)
            return dt_err_set(err, DT_E_INVALID, "the archive is damaged: it ends too early");
    }
    return 0;
}

int dt_zfile_read_end(struct dt_zfile_reader *r, struct dt_err *err)
{
    unsigned char one;
    for (bool more = true; more;) {
        ZSTD_outBuffer out = {&one, 1, 0};
        if (decode(r, &out, &more, err) < 0)
            return -1;
        if (out.pos > 0)
            return dt_err_set(err, DT_E_INVALID, "the archive is damaged: it has no end");
    }
    if (r->hint != 0)
        return dt_err_set(err, DT_E_INVALID, "the archive is damaged: it ends too early");
    return 0;
}
