/*
 * Sandboxes that have a process, or are about to.
 *
 *   WAITING  -> STARTING | ENDED         for a kit, for the maker's disk, for volumes
 *   STARTING -> RUNNING | WARM | KILLED  the first process sets itself up
 *   WARM     -> RUNNING | KILLED         started ahead, belongs to nobody yet
 *   RUNNING  -> STOPPING | KILLED | ENDED
 *   STOPPING -> KILLED | ENDED           asked to end, until the grace is over
 *   KILLED   -> ENDED                    waits for the end of the first process
 *   ENDED                                kernel objects are released, the disk is waited for; then
 *                                        the struct is freed
 *
 * A sandbox without one is nothing but a folder on disk.
 *
 * Those of the kind asked for last are started ahead (dt_sandbox_warm_up): all that does not depend
 * on whose it will be is done, and its toolbox waits for its configuration. Its folder stays in
 * pool/ and no id leads to it until then. It ends with the launcher. Those with volumes are not:
 * their mounts must be there before they have a process.
 */
#ifndef DT_LAUNCHER_SANDBOX_H
#define DT_LAUNCHER_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "os/box.h"
#include "runnerd/launcher/freeze.h"
#include "runnerd/launcher/loop.h"
#include "runnerd/launcher/peer.h"
#include "runnerd/launcher/pool.h"
#include "runnerd/launcher/record.h"
#include "runnerd/launcher/volume.h"

enum dt_sandbox_state {
    DT_WAITING,
    DT_STARTING,
    DT_WARM,
    DT_RUNNING,
    DT_STOPPING,
    DT_KILLED,
    DT_ENDED
};

struct dt_sandbox {
    struct dt_launcher *l;
    struct dt_sandbox *next; /* in its bucket */
    struct dt_sandbox *next_waiting;
    bool waits_for_kit;
    uint8_t id[16];
    enum dt_sandbox_state state;
    bool gone;  /* destroyed: its id may be used again, its folder is in trash; or not owned yet */
    bool fresh; /* CREATE, not answered yet: without a process there is no sandbox */
    bool moved; /* fresh, and its folder is in its place */
    bool ahead; /* nobody owns it: in l->warm */
    struct dt_sandbox *next_warm;
    bool adopted;            /* not our child */
    struct dt_asked asked;   /* who waits for the end of CREATE, START or STOP */
    struct dt_lw_spec *spec; /* until it runs */
    int config;
    struct dt_kit kit; /* its box is `box` */
    struct dt_pool_disk disk;
    uint64_t disk_job; /* serial of the job at the maker, 0 = none */
    struct dt_volumes volumes;
    struct dt_box box;
    struct dt_watch on_exit, on_said;
    struct dt_timer timer;
    uint64_t started_ms, kill_ms; /* when it was executed; when its grace is over */
    uint32_t addr;
    unsigned tries; /* to release kernel objects */
    struct dt_freeze freeze;
    int exit_status;
    bool by_itself; /* an EXITED event is due */
    bool oom;
};

struct dt_launcher;
struct dt_job_done;
struct dt_worker;

/* NULL when it has no process. */
struct dt_sandbox *dt_sandbox_find(struct dt_launcher *l, const uint8_t id[16]);
/* It has a folder. */
bool dt_sandbox_on_host(const struct dt_launcher *l, const uint8_t id[16]);
/* So that the next launcher knows whether it is paused. */
int dt_sandbox_note_paused(struct dt_sandbox *s, struct dt_err *err) DT_MUST_CHECK;

/* The requests; each sends its answer, now or later. They take `config`. */
void dt_sandbox_create(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked,
                       int config);
void dt_sandbox_start(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked,
                      int config);
void dt_sandbox_stop(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked);
void dt_sandbox_destroy(struct dt_launcher *l, const struct dt_lw_request *r,
                        struct dt_asked *asked);
void dt_sandbox_stats(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked);
void dt_sandbox_sockets(struct dt_launcher *l, const struct dt_lw_request *r,
                        struct dt_asked *asked);
void dt_sandbox_fork(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked,
                     int config);
void dt_sandbox_resize(struct dt_launcher *l, const struct dt_lw_request *r,
                       struct dt_asked *asked);
void dt_sandbox_network(struct dt_launcher *l, const struct dt_lw_request *r,
                        struct dt_asked *asked);
void dt_sandbox_pause(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked);

/* Starts one of that kind ahead, of a kit and a disk from the pools. False when it cannot. */
bool dt_sandbox_warm_up(struct dt_launcher *l, const struct dt_lw_spec *kind);
/* Ends one that was started ahead and is of another kind, or (NULL) all of them; false when there
 * was none. */
bool dt_sandbox_cool(struct dt_launcher *l, const struct dt_lw_spec *kind);

/* A kit is ready, or (`err`) none can be made now: for whoever waits longest. */
void dt_sandbox_on_kit(struct dt_launcher *l, const struct dt_err *err);
/* Workers' and errands' answers. dt_sandbox_on_disk returns false when no sandbox waits for it. */
bool dt_sandbox_on_disk(struct dt_launcher *l, const struct dt_job_done *done, const int fds[2]);
void dt_sandbox_on_free(struct dt_launcher *l, const struct dt_job_done *done);
/* False when no sandbox waits for it: `mount` is the caller's then. */
bool dt_sandbox_on_volume(struct dt_launcher *l, const struct dt_job_done *done, int mount);
/* A worker died, and with it what sandboxes waited for. */
void dt_sandbox_lost_jobs(struct dt_launcher *l, const struct dt_worker *w);
/* A process of a sandbox that is not destroyed has the volume, or will have. */
bool dt_sandbox_has_volume(const struct dt_launcher *l, const uint8_t id[16]);

/* Takes over a running process of an earlier launcher. Takes `pidfd`. */
int dt_sandbox_adopt(struct dt_launcher *l, const uint8_t id[16], const struct dt_record *r,
                     int pidfd, struct dt_err *err) DT_MUST_CHECK;
/* Some are ending: their kernel objects are not released yet. */
bool dt_sandbox_any_ending(const struct dt_launcher *l);
/* Frees the structs and leaves the sandboxes running. */
void dt_sandbox_forget_all(struct dt_launcher *l);

#endif
