/* The parts of a tar header: numbers in octal, base 256 and decimal, and pax records. */
#ifndef DT_TAR_PAX_H
#define DT_TAR_PAX_H

#include "oci/tar.h"

struct dt_tar_segment {
    uint64_t at; /* in the file */
    uint64_t n;
};

/* What the extension headers before an entry said; texts are NULL when they did not. */
struct dt_tar_ext {
    char *path, *link;
    bool has_size, has_uid, has_gid, has_mtime;
    uint64_t size, uid, gid;
    int64_t mtime;
    uint32_t mtime_ns;

    size_t xattr_bytes;
    size_t nxattrs;
    struct dt_tar_xattr xattrs[DT_TAR_XATTRS_MAX]; /* names and values owned */

    bool sparse, sparse_in_data; /* GNU.sparse.*; its map is at the head of the data (1.0) */
    uint64_t real_size;
    bool has_real_size;
    char *sparse_name;
    struct dt_tar_segment *segments;
    size_t nsegments, segment_cap;
    bool segment_open; /* an offset came, its length did not yet */
};

/* Frees what it holds and leaves an empty one. */
void dt_tar_ext_done(struct dt_tar_ext *x);
/* All records of one pax header; later ones win. */
int dt_tar_ext_parse(struct dt_tar_ext *x, struct dt_str pax, struct dt_err *err) DT_MUST_CHECK;
/* Replaces *text by a copy of s, which must hold no NUL and be 1..DT_TAR_PATH_MAX bytes. */
int dt_tar_ext_text(char **text, struct dt_str s, const char *what,
                    struct dt_err *err) DT_MUST_CHECK;
/* Segments must come in order, apart, and below 2^63. */
int dt_tar_ext_segment(struct dt_tar_ext *x, uint64_t at, uint64_t n,
                       struct dt_err *err) DT_MUST_CHECK;

/* A number field of a header: octal text, or base 256 when its first bit is set. */
int dt_tar_number(const char *field, size_t n, int64_t *ret);
/* The same, but never negative. */
int dt_tar_count(const char *field, size_t n, uint64_t *ret);

#endif
