/* What a sandbox's folder says about its running process, so that the next launcher can adopt it.
 */
#ifndef DT_LAUNCHER_RECORD_H
#define DT_LAUNCHER_RECORD_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "runnerd/launcher/wire.h"

enum { DT_RECORD_MAGIC = 0x44545231, DT_CGROUP_NAME_SIZE = 40 };

/* Binary, in the host's byte order: it is read on the same boot of the same machine, or ignored. */
struct dt_record {
    uint32_t magic;
    uint32_t size;
    char boot[40];    /* boot_id */
    uint64_t started; /* start time of `pid` in clock ticks since boot */
    int32_t pid;
    uint32_t slot;
    uint32_t addr;
    uint32_t creating; /* CREATE has not been answered: without the process there is no sandbox */
    uint32_t net;
    uint32_t ncidrs;
    struct dt_lw_cidr cidrs[DT_LW_CIDRS_MAX];
    char cgroup[DT_CGROUP_NAME_SIZE];
    uint32_t nvolumes;
    uint8_t volumes[DT_LW_VOLUMES_MAX][16];
    uint32_t paused;
};

/* Fills magic, size, boot and, for a live `pid`, started. */
int dt_record_init(struct dt_record *r, pid_t pid, struct dt_err *err) DT_MUST_CHECK;
/* In a sandbox's folder. Writing is not atomic: a record that is cut short reads as NOT_FOUND. */
int dt_record_write(int dir, const struct dt_record *r, struct dt_err *err) DT_MUST_CHECK;
/* NOT_FOUND when there is none, or none of this boot. */
int dt_record_read(int dir, struct dt_record *r, struct dt_err *err) DT_MUST_CHECK;
void dt_record_remove(int dir);
/* A pidfd of the process the record means, or -1 (GONE) when it has ended. The caller owns it. */
int dt_record_pidfd(const struct dt_record *r, struct dt_err *err) DT_MUST_CHECK;

#endif
