/*
 * A layer's tar archive as a folder that overlayfs (mounted with `userxattr`) takes as a lower
 * layer. Whiteouts become character devices 0:0, opaque markers user.overlay.opaque; both only when
 * there is a layer below. Devices, fifos and attributes other than user.* and security.capability
 * are left out and counted. What cannot be right is refused, not repaired: absolute names, `..`,
 * ids above 65,535, hard links to anything but a file of this layer, a name below a symbolic link.
 */
#ifndef DT_LAYER_H
#define DT_LAYER_H

#include "oci/tar.h"

#define DT_LAYER_BYTES_MAX (20ull << 30) /* of file data */
enum {
    DT_LAYER_ENTRIES_MAX = 2000000,
    DT_LAYER_DEPTH_MAX = 128,
    DT_LAYER_DIR_BYTES_MAX = 64 << 20, /* names of all folders together */
    DT_LAYER_ID_MAX = 65535,
};

struct dt_layer_stats {
    uint64_t entries;
    uint64_t bytes;   /* of file data in the archive */
    uint64_t devices; /* left out */
    uint64_t xattrs;  /* left out */
    uint64_t odd; /* left out: metadata of other storage drivers, whiteouts without a layer below */
};

/* A name as an archive gives it, made plain: no leading "./", no "." and no empty components. */
struct dt_layer_path {
    char text[DT_TAR_PATH_MAX + 1]; /* "" = the root itself */
    size_t base;                    /* where the last component starts; text[base - 1] is '/' */
};
/* INVALID for an absolute name, "..", a component above 255 bytes or more than DEPTH_MAX of them.
 */
int dt_layer_path_parse(const char *raw, struct dt_layer_path *ret,
                        struct dt_err *err) DT_MUST_CHECK;

/* `rootfd` is an empty folder that nobody else writes to; it gets the archive's owner and mode of
 * "./", else 0:0 and 0755. `has_lower`: this is not the lowest layer. Reads src up to the end
 * marker of the archive; `need_end` as in dt_tar_new(). What was unpacked stays when it fails. */
int dt_layer_unpack(int rootfd, const struct dt_tar_source *src, bool has_lower, bool need_end,
                    struct dt_layer_stats *stats, struct dt_err *err) DT_MUST_CHECK;

#endif
