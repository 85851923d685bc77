/*
 * A sandbox's root file system: an overlay of shared layers and its own disk, as a mount that is
 * attached nowhere.
 *
 * Layers and disk keep the image's ids (0..65535) on disk and are shown shifted by an idmapped
 * mount. The overlay must be made as the user that owns 0 in that map, with capabilities kept:
 * overlayfs creates its files in the upper layer as whoever mounted it, and an id outside the map
 * cannot be written there (it would come up read-only, EOVERFLOW).
 */
#ifndef DT_OVERLAY_H
#define DT_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { DT_OVERLAY_LAYERS_MAX = 64, DT_LAYER_ID_SIZE = 32 };

struct dt_overlay {
    int userns; /* maps 0..65535 to `base` */
    uint32_t base;
    int disk;       /* a detached mount with `upper` and a fresh `work`; becomes idmapped */
    int layers_dir; /* holds one folder per layer, named by its id in hexadecimal */
    unsigned nlayers;
    const uint8_t (*layers)[DT_LAYER_ID_SIZE]; /* lowest first */
};

/* Where the kernel takes overlay layers by path only (before 6.13), mounts are attached to folders
 * below `dir` for a moment; `dir` must be on a mount that only this process's namespace has.
 * Without this call such a kernel fails UNSUPPORTED. With `always`, also where the kernel can do
 * better (for tests). Keeps `dir`, does not own it. */
void dt_overlay_by_path(int dir, bool always);

/* Shows a detached mount shifted into the range of `userns`. */
int dt_overlay_idmap(int mount, int userns, struct dt_err *err) DT_MUST_CHECK;

/* The caller owns *ret, a detached mount (nodev). Fails NOT_FOUND when a layer is missing. */
int dt_overlay_new(const struct dt_overlay *o, int *ret, struct dt_err *err) DT_MUST_CHECK;

#endif
