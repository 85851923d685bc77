/*
 * What a new sandbox's first process does to its root file system, between clone and exec: mounts,
 * masks, pivot_root. The root file system is hostile: nothing in it is followed, every mount goes
 * onto a descriptor, and what stands where /dev, /proc, /sys or /tmp must be is replaced.
 */
#ifndef DT_ROOTFS_H
#define DT_ROOTFS_H

#include <stdint.h>

#include "base/err.h"

struct dt_rootfs {
    int root;  /* the detached overlay */
    int sysfs; /* a detached sysfs mount, or -1 */
    uint64_t shm_bytes;
};

/* To be called as root of a new user namespace with its own mount, pid and ipc namespaces, once.
 * Afterwards the old root is gone and the working folder is /. */
int dt_rootfs_enter(const struct dt_rootfs *r, struct dt_err *err) DT_MUST_CHECK;

#endif
