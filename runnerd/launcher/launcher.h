/* What the parts of daytona-launcher share. One thread, one of each. */
#ifndef DT_LAUNCHER_H
#define DT_LAUNCHER_H

#include <linux/filter.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/cgroup.h"
#include "os/disk.h"
#include "os/sandbox_net.h"
#include "runnerd/launcher/errand.h"
#include "runnerd/launcher/loop.h"
#include "runnerd/launcher/network.h"
#include "runnerd/launcher/peer.h"
#include "runnerd/launcher/pool.h"
#include "runnerd/launcher/sandbox.h"
#include "runnerd/launcher/spare.h"
#include "runnerd/launcher/worker.h"

enum { DT_SANDBOX_BUCKETS = 1024 };

struct dt_launcher {
    struct dt_loop loop;
    int data, sandboxes, layers, volumes, trash, pool_dir; /* folders */
    int objects[2];                                        /* by enum dt_job_place */
    uint32_t uid, gid;                                     /* runnerd's */
    unsigned instance;
    int host_netns, host_uts;
    int toolbox;
    struct sock_fprog filter;
    struct dt_cgroup_root *cgroups;
    struct dt_disk_store *disks;
    struct dt_sandbox_net *net; /* NULL: the host has none for sandboxes so far */
    struct dt_network network;
    struct dt_pool pool;
    struct dt_worker common; /* what all of them have */
    struct dt_worker maker, reaper, sweeper;
    struct dt_worker keeper; /* of volumes: repairing one must not hold up disks */
    struct dt_volume_made *volumes_made;
    struct dt_errand *errands; /* in the order they were asked for */
    unsigned nerrands;
    struct dt_peer peer;
    struct dt_sandbox *sandboxes_by_id[DT_SANDBOX_BUCKETS];
    unsigned nsandboxes;
    struct dt_sandbox *first_waiting; /* for a kit, in turn */
    struct dt_sandbox *warm;          /* started, or being started, for nobody yet */
    unsigned nwarm;
    bool sweeping, sweep_again;
    struct dt_spare spare;
    bool stop;
};

#endif
