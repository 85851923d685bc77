/* A file that comes in over the network: written beside its destination, without a name where that
 * can be, then put there at once, so that nobody sees half of it and a failure leaves what was
 * there. */
#ifndef DT_TOOLBOX_INCOMING_H
#define DT_TOOLBOX_INCOMING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct dt_incoming {
    int fd;      /* -1: nothing is open */
    char *path;  /* the destination; links are followed, also dangling ones */
    char *aside; /* NULL: it has no name yet */
    uint64_t size;
    bool replace;
};

enum {
    DT_INCOMING_MODE_KEEP = 0xffff,
    DT_INCOMING_MODE_PLAIN = 0755, /* what the program's umask, 022, lets through */
};

/* Makes parent folders (0755) and the file beside `path`. The mode is the given one, or with
 * DT_INCOMING_MODE_KEEP that of the file it replaces, or else 0644. Without `replace`, FILE_EXISTS
 * when there is one. INVALID_FILE_PATH for folders and special files. */
int dt_incoming_begin(struct dt_incoming *in, const char *path, mode_t mode, bool replace,
                      struct dt_err *err) DT_MUST_CHECK;
int dt_incoming_write(struct dt_incoming *in, const void *p, size_t n,
                      struct dt_err *err) DT_MUST_CHECK;
/* Leaves a hole of n bytes. */
int dt_incoming_skip(struct dt_incoming *in, size_t n, struct dt_err *err) DT_MUST_CHECK;
/* Puts it in place; nothing is left beside it, whatever is returned. */
int dt_incoming_commit(struct dt_incoming *in, struct dt_err *err) DT_MUST_CHECK;
/* Removes what is not committed. Fine on a zeroed or finished one whose fd is -1. */
void dt_incoming_done(struct dt_incoming *in);

#endif
