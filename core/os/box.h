/*
 * A sandbox's first process: cloned into its namespaces and its control group, prepared, turned
 * into the toolbox, and at last given to somebody.
 *
 *   dt_box_clone   it exists, mounts what it can and waits; the caller may put it into further
 *                  control groups meanwhile
 *   dt_box_go      it gets its root file system and executes the toolbox, which waits
 *   dt_box_result  what came of that, when `sock` is readable
 *   dt_box_own     it gets its name and its configuration; only now does it serve anybody
 *
 * All but the last need nothing of the sandbox that it will be, so they are done ahead. The toolbox
 * has descriptor 3 (a listening socket), 4 (a socket over which its configuration comes, as the
 * descriptor of a file), 0-2 on /dev/null, an empty environment, and no other. Without dt_box_own
 * the process ends with the caller's.
 */
#ifndef DT_BOX_H
#define DT_BOX_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "os/rootfs.h"

enum { DT_BOX_VOLUMES_MAX = 8, DT_BOX_PATH_SIZE = 256 };

/* Borrowed, and only used during dt_box_clone; the child has copies. */
struct dt_box_spec {
    uint32_t base; /* host id of its id 0 */
    int host_netns;
    int netns;
    int cgroup;                                         /* v2 directory */
    int sysfs;                                          /* detached mount, or -1 */
    int toolbox;                                        /* executable memfd */
    struct dt_cgroup_view cgroups[DT_CGROUP_VIEWS_MAX]; /* as it sees itself */
    unsigned ncgroups;
    const struct sock_fprog *filter;
};

/* Descriptors are borrowed. */
struct dt_box_order {
    int overlay;  /* from dt_overlay_new */
    int listener; /* becomes 3 */
    uint64_t shm_bytes;
    const struct dt_rootfs_volume *volumes; /* paths shorter than DT_BOX_PATH_SIZE */
    unsigned nvolumes;                      /* at most DT_BOX_VOLUMES_MAX */
};

/* -1 = not there. */
struct dt_box {
    pid_t pid;
    int pidfd;
    int userns;
    int sock;
};

#define DT_BOX_NONE                                                                                \
    {                                                                                              \
        .pid = -1, .pidfd = -1, .userns = -1, .sock = -1                                           \
    }

int dt_box_clone(const struct dt_box_spec *spec, struct dt_box *box,
                 struct dt_err *err) DT_MUST_CHECK;
int dt_box_go(struct dt_box *box, const struct dt_box_order *order,
              struct dt_err *err) DT_MUST_CHECK;
/* 1 when it is confined and about to execute the toolbox, 0 when that is not known yet, -1 when it
 * never will (BAD_REQUEST: for what the order says). Nothing waits for exec itself, so that it runs
 * beside the answer; should it fail, the process ends, which `pidfd` tells. The caller closes
 * `sock` once it has been owned as well, after it has stopped polling it: children that were cloned
 * meanwhile may have copies for a moment. */
int dt_box_result(struct dt_box *box, struct dt_err *err) DT_MUST_CHECK;
/* Any time after dt_box_go. `host_uts` is the caller's own namespace of host names, which it has
 * left for a moment and is in again, or aborts; `config` is borrowed. When the process has ended it
 * fails as dt_box_result() does. */
int dt_box_own(struct dt_box *box, int host_uts, const char *hostname, int config,
               struct dt_err *err) DT_MUST_CHECK;
/* Kills and reaps a child that has not been told to go; closes everything. */
void dt_box_abort(struct dt_box *box);

#endif
