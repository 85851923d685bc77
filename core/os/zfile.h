/*
 * A compressed file of ours: zstd frames, each with a checksum over its content, so that damage
 * never goes unnoticed and `zstd -t` can look at it too. Written and read from front to back.
 */
#ifndef DT_ZFILE_H
#define DT_ZFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct dt_zfile_writer;
struct dt_zfile_reader;

/* `fd` is borrowed until _free. */
int dt_zfile_writer_new(int fd, struct dt_zfile_writer **ret, struct dt_err *err) DT_MUST_CHECK;
/* LIMIT when the file's disk is full. */
int dt_zfile_write(struct dt_zfile_writer *w, const void *p, size_t n,
                   struct dt_err *err) DT_MUST_CHECK;
/* After the last byte; without it the file is cut short, and reading it says so. */
int dt_zfile_finish(struct dt_zfile_writer *w, struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine. Returns NULL. */
struct dt_zfile_writer *dt_zfile_writer_free(struct dt_zfile_writer *w);
DT_DEFINE_AUTO(struct dt_zfile_writer *, dt_zfile_writer_free)

int dt_zfile_reader_new(int fd, struct dt_zfile_reader **ret, struct dt_err *err) DT_MUST_CHECK;
/* All of the n bytes, or it fails: INVALID when the file is damaged or ends before. */
int dt_zfile_read(struct dt_zfile_reader *r, void *p, size_t n, struct dt_err *err) DT_MUST_CHECK;
/* That there is nothing behind what was read, and that the last checksum holds. */
int dt_zfile_read_end(struct dt_zfile_reader *r, struct dt_err *err) DT_MUST_CHECK;
struct dt_zfile_reader *dt_zfile_reader_free(struct dt_zfile_reader *r);
DT_DEFINE_AUTO(struct dt_zfile_reader *, dt_zfile_reader_free)

#endif
