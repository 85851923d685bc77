/* Landlock: a process without privileges gives up all files but those below a few folders. */
#ifndef DT_LANDLOCK_H
#define DT_LANDLOCK_H

#include <stddef.h>

#include "base/err.h"

enum dt_landlock_may {
    DT_LANDLOCK_READ = 1,    /* files and folders */
    DT_LANDLOCK_WRITE = 2,   /* regular files: make, change, rename, remove */
    DT_LANDLOCK_SOCKETS = 4, /* unix sockets: make, remove */
};

struct dt_landlock_place {
    const char *path; /* a folder, or a file; one that does not exist is left out */
    unsigned may;     /* enum dt_landlock_may */
};

/* For the calling thread, for the threads and processes that it makes, and for good: opening,
 * making and removing anything outside of `places` fails EACCES, as do executing, devices' ioctls,
 * signals to other processes and connecting to their abstract sockets, as far as the kernel's
 * version knows these. Open descriptors, O_PATH, stat and sockets with a path are not concerned.
 * Needs no_new_privs.
 *
 * Returns the kernel's version of Landlock, 1 or more; 0 when it has none or it is switched off:
 * then nothing is confined. */
int dt_landlock_restrict(const struct dt_landlock_place *places, size_t n,
                         struct dt_err *err) DT_MUST_CHECK;

#endif
