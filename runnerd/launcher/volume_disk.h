/*
 * A volume as files: volumes/<id>/ with a disk of its own (os/disk.h), whose folder data/ is what
 * sandboxes see. For the worker that does volumes' jobs, one after the other.
 *
 * This is the whole of what a kind of volume must be able to do. One that lives elsewhere (an
 * object store behind FUSE) makes its mount in dt_volume_disk_open(); nobody else knows what it is.
 */
#ifndef DT_LAUNCHER_VOLUME_DISK_H
#define DT_LAUNCHER_VOLUME_DISK_H

#include <stdint.h>

#include "base/err.h"
#include "os/disk.h"

/* It appears complete, and stays through a power loss, or not at all. `serial` names the folder
 * below pool/ in which it is made. CONFLICT when it exists, LIMIT when the host's disk is full. */
int dt_volume_disk_make(struct dt_disk_store *disks, int data, uint64_t serial,
                        const uint8_t id[16], uint64_t bytes, struct dt_err *err) DT_MUST_CHECK;

/* The caller owns *ret: a detached mount (nosuid, nodev, private) of the folder `subpath` of the
 * volume, which is made when missing; "" is all of it. Not idmapped yet. BAD_REQUEST when a part of
 * the path is a link or a file, or there is no room to make it. */
int dt_volume_disk_open(struct dt_disk_store *disks, int data, const uint8_t id[16],
                        const char *subpath, int *ret, struct dt_err *err) DT_MUST_CHECK;

#endif
