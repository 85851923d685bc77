/* From root to nobody in particular: folders, the launcher as a child, then all privileges gone. */
#ifndef DT_PRIVILEGE_H
#define DT_PRIVILEGE_H

#include <sys/types.h>

#include "base/err.h"

struct dt_identity {
    uid_t uid;
    gid_t gid;
};

/* User `daytona` if it exists, else `fallback` for both. */
struct dt_identity dt_identity_of(int64_t fallback);
/* Makes the data directory, state/ and run/ with their owners and modes, and an empty store that
 * belongs to `who`. As root; without it everything must be there and ours already. */
int dt_prepare_folders(const char *data_dir, const struct dt_identity *who,
                       struct dt_err *err) DT_MUST_CHECK;
/* Starts daytona-launcher, which lies beside this program. Returns our end of its connection; *pid
 * is its process. `data_dir` must be absolute; `bandwidth` is in Mbit/s, 0 = no limit. */
int dt_launcher_spawn(const char *data_dir, const struct dt_identity *who, int64_t bandwidth,
                      pid_t *pid, struct dt_err *err);
/* For good: groups, ids, capabilities, new privileges, core dumps, tracing. */
int dt_privileges_drop(const struct dt_identity *who, struct dt_err *err) DT_MUST_CHECK;
/* What every start does, root or not: umask, limits, not dumpable. */
int dt_harden(struct dt_err *err) DT_MUST_CHECK;
/* Holds data_dir/state/lock until the process ends; CONFLICT when another one does. */
int dt_data_dir_lock(const char *data_dir, const struct dt_identity *who,
                     struct dt_err *err) DT_MUST_CHECK;

#endif
