/* Files without a name that nobody, not even their owner, can change any more. */
#ifndef DT_MEMFD_H
#define DT_MEMFD_H

#include <stddef.h>

#include "base/err.h"

/* Copies the regular file at `path` below `dirfd` (AT_FDCWD allowed; at most 256 MiB) into an
 * executable memfd, mode 0555, sealed against every change, CLOEXEC. The caller owns *ret, which is
 * set on success only. Execute it with execveat(fd, "", argv, env, AT_EMPTY_PATH): the descriptor
 * must stay open until then, not longer. `name` shows in /proc only. */
int dt_memfd_from_file(const char *name, int dirfd, const char *path, int *ret,
                       struct dt_err *err) DT_MUST_CHECK;
/* The same with bytes, mode 0444, not executable. The offset is at the start. */
int dt_memfd_from_bytes(const char *name, const void *p, size_t n, int *ret,
                        struct dt_err *err) DT_MUST_CHECK;

#endif
