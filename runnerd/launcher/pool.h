/*
 * What sandboxes are made of, made ahead and never used twice: kits of kernel objects (made here,
 * when nothing else is to be done) and disks (made by the maker); and sandboxes of the kind that is
 * asked for most, started of these.
 */
#ifndef DT_LAUNCHER_POOL_H
#define DT_LAUNCHER_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "os/box.h"
#include "runnerd/launcher/loop.h"
#include "runnerd/launcher/record.h"

struct dt_launcher;
struct dt_job_done;

enum {
    DT_SLOTS = 4000, /* 1..4000 */
    DT_POOL_KITS = 16,
    DT_POOL_DISKS = 16,
    DT_POOL_WARM = 8,
};

/* A process that waits for its root file system, with its network, control group and user
 * namespace. Full network access is in force. */
struct dt_kit {
    unsigned slot; /* 0: no kit */
    char cgroup[DT_CGROUP_NAME_SIZE];
    bool alone; /* made while the host had no network: it has none of its own either */
    struct dt_box box;
};

struct dt_pooled_kit;

/* A folder below pool/ with a disk in it. `mount` -1: no disk. */
struct dt_pool_disk {
    uint64_t serial;
    uint64_t bytes;
    int mount, listener;
};

struct dt_pool {
    struct dt_pooled_kit *kits;
    unsigned nkits;   /* ready or not */
    unsigned nmaking; /* of these, not in all their control groups yet */
    struct dt_pool_disk disks[DT_POOL_DISKS];
    unsigned ndisks;
    unsigned disks_asked;
    uint64_t disk_bytes; /* the size kept ready: the one asked for twice in a row */
    uint64_t last_bytes;
    struct dt_lw_spec kind, last_kind; /* likewise, of sandboxes that are started ahead */
    uint64_t serial;
    bool used[DT_SLOTS + 1];
    unsigned last_slot;
    uint64_t again_ms;   /* after a failure: not before */
    uint64_t request_ms; /* when something was last asked of the launcher */
    struct dt_timer wake;
};

void dt_pool_init(struct dt_pool *p);
/* Releases what is ready. */
void dt_pool_done(struct dt_launcher *l);

/* A sandbox like this was asked for. */
void dt_pool_note(struct dt_pool *p, const struct dt_lw_spec *spec);
/* They differ in nothing but name and network, which are set when a sandbox is given to somebody,
 * and have no volumes. */
bool dt_pool_same_kind(const struct dt_lw_spec *a, const struct dt_lw_spec *b);

/* Something was asked: what is not urgent waits until that is over. */
void dt_pool_busy(struct dt_launcher *l);
/* One step of filling up, about 2 ms; false when there is nothing to do. */
bool dt_pool_fill(struct dt_launcher *l);
/* A kit from the pool; false when none is ready: dt_sandbox_on_kit() tells when one is. */
bool dt_pool_kit(struct dt_launcher *l, struct dt_kit *ret);
/* There is a network now: kits without one are made anew. */
void dt_pool_renew(struct dt_launcher *l);
/* Gives the slot back and removes its network and group; false while the group has processes. */
bool dt_pool_release(struct dt_launcher *l, unsigned slot, const char *cgroup);
/* For adopted sandboxes. False when it is taken. */
bool dt_pool_claim_slot(struct dt_pool *p, unsigned slot);

/* True with a disk of that size, if there is one. Else ask the maker for one. */
bool dt_pool_disk(struct dt_launcher *l, uint64_t bytes, struct dt_pool_disk *ret);
/* For a disk whose mount is in use elsewhere, so that closing it is cheap, or that has none. */
void dt_pool_disk_close(struct dt_pool_disk *d);
/* For one whose mount nobody else uses. */
void dt_pool_disk_unmount(struct dt_launcher *l, struct dt_pool_disk *d);
/* The same, and its folder below pool/ goes to trash. */
void dt_pool_disk_drop(struct dt_launcher *l, struct dt_pool_disk *d);
/* The maker's answer to a disk that the pool asked for. */
void dt_pool_on_disk(struct dt_launcher *l, const struct dt_job_done *done, const int fds[2]);
uint64_t dt_pool_serial(struct dt_pool *p);

/* Host id of the slot's id 0: ranges of different instances and slots never meet. */
uint32_t dt_slot_base(unsigned instance, unsigned slot);

/* Moves sandboxes/<id> or pool/<serial> (`dir`, `name`) to trash and has it deleted. */
int dt_trash(struct dt_launcher *l, int dir, const char *name, struct dt_err *err) DT_MUST_CHECK;
void dt_sweep(struct dt_launcher *l);

#endif
