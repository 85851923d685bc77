/*
 * A streaming reader of tar archives: ustar, pax and GNU, with long names, extended attributes and
 * sparse files. It holds one header and one entry's metadata at a time and never the data. Every
 * number and length in an archive is checked; whether a path is safe to use is the caller's
 * business.
 */
#ifndef DT_TAR_H
#define DT_TAR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

enum {
    DT_TAR_PATH_MAX = 4096,         /* bytes of a path or link target */
    DT_TAR_PAX_MAX = 1 << 20,       /* bytes of one pax header */
    DT_TAR_XATTRS_MAX = 64,         /* attributes of one entry */
    DT_TAR_XATTR_BYTES_MAX = 65536, /* their names and values together */
    DT_TAR_SPARSE_MAX = 65536,      /* data segments of one file */
};

/* Where the bytes come from. */
struct dt_tar_source {
    /* Up to n bytes; 0 at the end; -1 with err set. */
    ssize_t (*read)(void *ctx, void *buf, size_t n, struct dt_err *err);
    /* Moves n bytes forward; NULL: they are read and dropped. */
    int (*skip)(void *ctx, uint64_t n, struct dt_err *err);
    void *ctx;
};

enum dt_tar_type {
    DT_TAR_FILE,
    DT_TAR_HARDLINK,
    DT_TAR_SYMLINK,
    DT_TAR_DIR,
    DT_TAR_DEVICE, /* character or block device, fifo */
};

struct dt_tar_xattr {
    const char *name; /* without the SCHILY.xattr. prefix */
    struct dt_str value;
};

/* Borrowed: valid until the next dt_tar_next(). */
struct dt_tar_entry {
    enum dt_tar_type type;
    const char *path; /* never empty */
    const char *link; /* target of a link, else "" */
    uint64_t size;    /* of the file as it will be, holes included; 0 unless FILE */
    uint64_t data_at; /* where its data starts in the archive */
    uint32_t mode;    /* permission bits only */
    uint64_t uid, gid;
    int64_t mtime; /* seconds since 1970, may be negative */
    uint32_t mtime_ns;
    bool sparse;
    const struct dt_tar_xattr *xattrs;
    size_t nxattrs;
};

struct dt_tar;
/* The caller owns *ret. `need_end`: an archive without its end marker counts as truncated. */
int dt_tar_new(const struct dt_tar_source *src, bool need_end, struct dt_tar **ret,
               struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine. Always returns NULL. */
struct dt_tar *dt_tar_free(struct dt_tar *t);
DT_DEFINE_AUTO(struct dt_tar *, dt_tar_free)

/* 1 and *e, 0 at the end of the archive, -1. What was not read of the entry before is skipped.
 * INVALID names the entry and what is wrong with it; UNSUPPORTED a kind of entry that cannot be
 * unpacked. */
int dt_tar_next(struct dt_tar *t, struct dt_tar_entry *e, struct dt_err *err) DT_MUST_CHECK;
/* The next bytes of the entry's data and where in the file they belong; 0 when there are no more.
 */
ssize_t dt_tar_data(struct dt_tar *t, void *buf, size_t n, uint64_t *offset, struct dt_err *err);

#endif
