/* Which users of this machine may use the unix socket: root, this program's own user, and the
 * members of the group `daytona`. Loop only. */
#ifndef DT_PEERS_H
#define DT_PEERS_H

#include <stdbool.h>
#include <uv.h>

#include "base/err.h"

enum { DT_PEERS_MAX = 64 };

struct dt_peers {
    uid_t uids[DT_PEERS_MAX]; /* members of the group */
    size_t n;
    uid_t fresh[DT_PEERS_MAX]; /* being read, on another thread */
    size_t nfresh;
    uv_work_t work;
    bool busy;
};

/* Reads the group's members from files; may block when the system asks a network for them. */
void dt_peers_read(struct dt_peers *p);
/* The same on another thread, at most one at a time. */
void dt_peers_refresh(struct dt_peers *p, uv_loop_t *loop);
/* FORBIDDEN says what to do. */
int dt_peers_check(const struct dt_peers *p, uid_t uid, struct dt_err *err) DT_MUST_CHECK;

#endif
