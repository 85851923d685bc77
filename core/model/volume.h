/*
 * A volume: its states, and where in a sandbox it may be mounted.
 *
 *   PENDING_CREATE -> CREATING -> READY | ERROR
 *   READY, ERROR   -> PENDING_DELETE -> DELETING -> DELETED | ERROR
 */
#ifndef DT_VOLUME_H
#define DT_VOLUME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum dt_volume_state {
    DT_VOLUME_PENDING_CREATE,
    DT_VOLUME_CREATING,
    DT_VOLUME_READY,
    DT_VOLUME_PENDING_DELETE,
    DT_VOLUME_DELETING,
    DT_VOLUME_DELETED,
    DT_VOLUME_ERROR,
    DT_VOLUME_STATE_COUNT
};

/* The words of the wire and of the store. from_text returns -1 for unknown ones. */
const char *dt_volume_state_text(enum dt_volume_state s);
int dt_volume_state_from_text(const char *text, enum dt_volume_state *ret);
/* Something is to be done for it, or is being done. */
bool dt_volume_is_moving(enum dt_volume_state s);

enum { DT_MOUNTS_MAX = 8, DT_MOUNT_PATH_SIZE = 256 };

/* As a request has it; the texts are borrowed. */
struct dt_mount {
    const char *volume; /* its id or name */
    const char *path;
    const char *subpath; /* NULL: all of it */
};

/* BAD_REQUEST with every violation of the rules for mount paths and subpaths, `Invalid mount path P
 * (reason)` each, joined by ", ". */
int dt_mounts_check(const struct dt_mount *mounts, size_t n, struct dt_err *err) DT_MUST_CHECK;
/* A path that passed, without a second slash in front and slashes at its end. */
void dt_mount_path_plain(const char *path, char out[DT_MOUNT_PATH_SIZE]);

#endif
