/*
 * Volumes, as the launcher's loop sees them: which sandboxes have which, and the two requests that
 * make and delete them. What a volume is made of only their worker knows (volume_disk.h).
 */
#ifndef DT_LAUNCHER_VOLUME_H
#define DT_LAUNCHER_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "runnerd/launcher/peer.h"
#include "runnerd/launcher/record.h"

struct dt_launcher;
struct dt_job_done;
struct dt_sandbox;

/* The volumes of one sandbox. */
struct dt_volumes {
    unsigned n;
    uint8_t ids[DT_LW_VOLUMES_MAX][16];
    unsigned waiting;                 /* for so many mounts */
    uint64_t jobs[DT_LW_VOLUMES_MAX]; /* serials, 0 = not waited for */
    int mounts[DT_LW_VOLUMES_MAX];    /* -1 = none; until the sandbox runs */
};

void dt_volumes_init(struct dt_volumes *v);
/* Asks for the mounts that s->spec names: launch() goes on when `waiting` is 0. */
int dt_volumes_ask(struct dt_sandbox *s, struct dt_err *err) DT_MUST_CHECK;
/* True when the sandbox waited for this answer; takes the descriptor then. A failed one is for the
 * caller to report. */
bool dt_volumes_take(struct dt_volumes *v, const struct dt_job_done *done, int mount);
/* For mounts that others have by now, so that closing is cheap. */
void dt_volumes_close(struct dt_volumes *v);
/* For mounts that nobody else may have. */
void dt_volumes_unmount(struct dt_launcher *l, struct dt_volumes *v);

/* The requests; each sends its answer, now or later. */
void dt_volume_create(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked);
void dt_volume_delete(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked);
void dt_volume_on_made(struct dt_launcher *l, const struct dt_job_done *done);
/* The worker died: whoever waits for a volume to be made is told so. */
void dt_volume_lost_jobs(struct dt_launcher *l);

#endif
