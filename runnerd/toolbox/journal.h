/*
 * What a command has printed, from both of its streams in the order it came, in bounded memory.
 *
 * The first 8 KiB are kept in memory. When there is more, all of it goes into a file without a name
 * on the sandbox's own disk (in its home, else /var/tmp, else /tmp): it counts against the
 * sandbox's quota, survives everything but the sandbox's end, and costs no memory. A file holds the
 * newest DT_JOURNAL_FILE_MAX bytes, less when many journals are long; the oldest are dropped. Of
 * DT_JOURNAL_FILES_MAX files the one of the command that ended first is given up for the next.
 * Without room for a file the newest 64 KiB stay in memory. Readers are told how much they missed.
 */
#ifndef DT_TOOLBOX_JOURNAL_H
#define DT_TOOLBOX_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    DT_JOURNAL_FILE_MAX = 64 * 1024 * 1024,
    DT_JOURNAL_FILES_MAX = 128,
    DT_JOURNAL_BLOCK = 16 * 1024, /* the most that one call of dt_journal_read() hands out */
};
#define DT_JOURNAL_DISK_MAX ((uint64_t)512 * 1024 * 1024) /* of all files, but for 1 MiB each */

enum dt_journal_stream { DT_JOURNAL_OUT, DT_JOURNAL_ERR };

struct dt_journal;

/* `home` (kept) is where files go first; may be NULL. */
int dt_journal_new(const char *home, struct dt_journal **ret, struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine; returns NULL. */
struct dt_journal *dt_journal_free(struct dt_journal *j);
DT_DEFINE_AUTO(struct dt_journal *, dt_journal_free)
/* Cannot fail: what cannot be kept is counted as left out. */
void dt_journal_add(struct dt_journal *j, enum dt_journal_stream stream, const char *p, size_t n);
/* The command has ended: the file may be given up for another. More may still be added. */
void dt_journal_seal(struct dt_journal *j);
/* Bytes of memory it takes. */
size_t dt_journal_memory(const struct dt_journal *j);

/* Where a reader is that has read everything until now. */
uint64_t dt_journal_end(const struct dt_journal *j);
/* Bytes of output until now, also those that are no longer there. */
uint64_t dt_journal_total(const struct dt_journal *j);

/* Where a reader is; zeroed at first. */
struct dt_journal_cursor {
    uint64_t at;
    uint64_t payload; /* bytes that were read or missed */
    uint32_t left;    /* of the record that it is in */
    enum dt_journal_stream stream;
};
/* Hands out what follows, in pieces of one stream each; `lost` bytes were left out before the first
 * of them. Returns false at the end. The bytes are borrowed for the call of `piece`, which must not
 * touch any journal. */
bool dt_journal_read(struct dt_journal *j, struct dt_journal_cursor *c, uint64_t *lost,
                     void (*piece)(void *ctx, enum dt_journal_stream stream, const char *p,
                                   size_t n),
                     void *ctx);
/* The same, at most `most` bytes (not 0). `piece` NULL passes over them. */
bool dt_journal_read_most(
    struct dt_journal *j, struct dt_journal_cursor *c, size_t most, uint64_t *lost,
    void (*piece)(void *ctx, enum dt_journal_stream stream, const char *p, size_t n), void *ctx);
/* Puts a reader behind the first `payload` bytes of output: before the oldest that is there when
 * that was left out, at the end when there is less. Reads a 64th of the file at most. */
void dt_journal_seek(struct dt_journal *j, struct dt_journal_cursor *c, uint64_t payload);

#endif
