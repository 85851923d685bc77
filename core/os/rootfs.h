/*
 * What a new sandbox's first process does to its mounts between clone and exec, in two halves: all
 * that needs no root file system ahead of time, the rest when there is one.
 *
 * The root file system is hostile: nothing in it is followed, every mount goes onto a descriptor,
 * and what stands where /dev, /proc, /sys or /tmp must be is replaced. Masks and read-only covers
 * are made before the sandbox's root file system is there at all.
 */
#ifndef DT_ROOTFS_H
#define DT_ROOTFS_H

#include <stdint.h>

#include "base/err.h"
#include "os/cgroup.h"

/* Descriptors are not closed on failure, and `shm` not at all: they end with exec. */
struct dt_rootfs {
    int sysfs; /* in: a detached sysfs mount, or -1 */
    /* in: what is mounted in its fs/cgroup; without a sysfs they are not used */
    struct dt_cgroup_view cgroups[DT_CGROUP_VIEWS_MAX];
    unsigned ncgroups;
    int scratch, proc, sys, dev, shm, counts;
};

/* To be called as root of a new user namespace with its own mount, pid and ipc namespaces, once.
 * Afterwards no mount can be made any more, but those that are there can be moved; of new
 * namespaces, only control group ones. */
int dt_rootfs_prepare(struct dt_rootfs *r, struct dt_err *err) DT_MUST_CHECK;
/* A detached mount and where it goes: an absolute path without `.`, `..` and empty names, which
 * exists or is made, never through a link (BAD_REQUEST). One inside another comes after it. */
struct dt_rootfs_volume {
    int mount;
    const char *path;
};

/* `root` is the detached overlay. Afterwards the host's mounts are gone and the working folder is
 * /. Volumes are mounted before /proc, /sys and /dev: those cannot be covered. */
int dt_rootfs_enter(const struct dt_rootfs *r, int root, uint64_t shm_bytes,
                    const struct dt_rootfs_volume *volumes, unsigned nvolumes,
                    struct dt_err *err) DT_MUST_CHECK;

#endif
