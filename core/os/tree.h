/*
 * A file tree as a stream of bytes, for disks that are folders (project quotas). Everything comes
 * back that a sandbox and the overlay above it can leave there: owners, modes, times to the
 * nanosecond, extended attributes, hard and symbolic links, holes, fifos, sockets, whiteouts. Not
 * kept: access times, inode numbers, file flags (chattr).
 *
 * Nobody may change the tree meanwhile. The stream of an unchanged tree is the same each time. What
 * is read is believed to be no more than a stream of this kind: names never lead out of the folder,
 * and every number is checked.
 */
#ifndef DT_TREE_H
#define DT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* `fn` writes, or reads, all of the n bytes, or fails. */
struct dt_tree_sink {
    int (*fn)(void *ctx, const void *p, size_t n, struct dt_err *err);
    void *ctx;
};
struct dt_tree_source {
    int (*fn)(void *ctx, void *p, size_t n, struct dt_err *err);
    void *ctx;
};

/* One descriptor each. */
enum { DT_TREE_DEPTH_MAX = 900 };

/* All of the folder `dir` but its entry `skip` (NULL is fine). UNSUPPORTED: a device, which nobody
 * in a sandbox can make; LIMIT: folders in folders deeper than DT_TREE_DEPTH_MAX. */
int dt_tree_save(int dir, const char *skip, const struct dt_tree_sink *out,
                 struct dt_err *err) DT_MUST_CHECK;
/* Into an empty folder. INVALID: no such stream. LIMIT: the disk is full. */
int dt_tree_load(int dir, const struct dt_tree_source *in, struct dt_err *err) DT_MUST_CHECK;

#endif
