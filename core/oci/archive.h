/*
 * Where an image comes from: a folder with an OCI layout, or one tar file with an OCI layout, what
 * `docker save` writes, or a whole root file system; the tar file may be compressed. The tar file's
 * headers are read in a confined process, once, to learn where the members lie.
 */
#ifndef DT_ARCHIVE_H
#define DT_ARCHIVE_H

#include "oci/digest.h"

enum dt_archive_kind { DT_ARCHIVE_OCI, DT_ARCHIVE_DOCKER, DT_ARCHIVE_ROOTFS };

enum { DT_ARCHIVE_MEMBERS_MAX = 4096, DT_ARCHIVE_NAME_MAX = 255 };
#define DT_ARCHIVE_BYTES_MAX (40ull << 30) /* uncompressed */

/* A part of a file. */
struct dt_blob {
    int fd; /* owned; -1 = none */
    uint64_t at, size;
};
static inline void dt_blob_done(struct dt_blob *b)
{
    dt_closep(&b->fd);
}
#define DT_AUTO_BLOB __attribute__((unused, cleanup(dt_blob_done)))

struct dt_archive;
/* `scratchfd` is a folder for an unnamed file that holds an archive uncompressed. The caller owns
 * *ret. NOT_FOUND without the file; INVALID when it is none of these. */
int dt_archive_open(const char *file, int scratchfd, int userns, struct dt_archive **ret,
                    struct dt_err *err) DT_MUST_CHECK;
struct dt_archive *dt_archive_free(struct dt_archive *a);
DT_DEFINE_AUTO(struct dt_archive *, dt_archive_free)

enum dt_archive_kind dt_archive_kind(const struct dt_archive *a);
/* The member of that name; one symbolic link is followed, within the archive. The caller owns
 * ret->fd. NOT_FOUND without it. */
int dt_archive_find(const struct dt_archive *a, const char *name, struct dt_blob *ret,
                    struct dt_err *err) DT_MUST_CHECK;
/* The same, read into `out`. */
int dt_archive_read(const struct dt_archive *a, const char *name, struct dt_buf *out,
                    struct dt_err *err) DT_MUST_CHECK;
/* The whole file, uncompressed: a root file system's tar. */
int dt_archive_whole(const struct dt_archive *a, struct dt_blob *ret,
                     struct dt_err *err) DT_MUST_CHECK;

#endif
