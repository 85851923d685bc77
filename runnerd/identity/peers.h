/* Which users of this machine may use the unix socket: root, this program's own user, whom the
 * group `daytona` names as its members, and whose process is in that group. Loop only. */
#ifndef DT_PEERS_H
#define DT_PEERS_H

#include <stdbool.h>
#include <uv.h>

#include "base/err.h"

enum { DT_PEERS_MAX = 64 };

struct dt_members {
    bool there; /* the group exists */
    gid_t gid;
    uid_t uids[DT_PEERS_MAX];
    size_t n;
};

/* Zeroed at first. */
struct dt_peers {
    struct dt_members members;
    struct dt_members fresh; /* being read, on another thread */
    uv_work_t work;
    bool busy;
};

/* Reads the group and up to DT_PEERS_MAX members; may block when the system asks a network for
 * them.
 */
void dt_peers_read(struct dt_peers *p);
/* The same on another thread, at most one at a time. */
void dt_peers_refresh(struct dt_peers *p, uv_loop_t *loop);
/* FORBIDDEN says what to do. */
int dt_peers_check(const struct dt_peers *p, uid_t uid, gid_t gid,
                   struct dt_err *err) DT_MUST_CHECK;

#endif
