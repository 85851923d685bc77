/* Descriptors: whole reads and writes, and paths that cannot leave their folder. */
#ifndef DT_FD_H
#define DT_FD_H

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

/* Writes all of it; retries short writes and EINTR. */
int dt_fd_write_all(int fd, const void *p, size_t n, struct dt_err *err) DT_MUST_CHECK;
/* Appends everything up to the end of the file; fails with TOO_LARGE above out->max. */
int dt_fd_read_all(int fd, struct dt_buf *out, struct dt_err *err) DT_MUST_CHECK;
/* Reads a whole regular file relative to `dirfd` (AT_FDCWD allowed). */
int dt_fd_read_file(int dirfd, const char *path, struct dt_buf *out,
                    struct dt_err *err) DT_MUST_CHECK;
/* Writes a short text into an existing file (cgroup, sysctl), in one write(2). */
int dt_fd_put(int dirfd, const char *path, const char *text, struct dt_err *err) DT_MUST_CHECK;
/* Replaces a file: writes beside it, fsyncs, renames. `mode` is exact. */
int dt_fd_replace(int dirfd, const char *path, const void *p, size_t n, mode_t mode,
                  struct dt_err *err) DT_MUST_CHECK;
/* openat2(2) with RESOLVE_* flags; returns the descriptor (always CLOEXEC) or -1 with errno. */
int dt_fd_openat2(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve);
/* Opens (O_PATH) the folder `path` below `dirfd` and makes what is missing of it, with `mode` less
 * the umask. `path` is relative, without `.`, `..` and empty names. Follows no link of any kind,
 * whatever others do there meanwhile: BAD_REQUEST names the part that is one, or no folder. The
 * caller owns *ret. */
int dt_fd_make_folders(int dirfd, const char *path, mode_t mode, int *ret,
                       struct dt_err *err) DT_MUST_CHECK;
/* Removes a tree below `dirfd` without following links or crossing mounts. A missing tree is fine.
 */
int dt_fd_remove_tree(int dirfd, const char *name, struct dt_err *err) DT_MUST_CHECK;

#endif
