/*
 * Long work on the disk of one sandbox, each in a helper process of its own: it can be killed at
 * any moment, and what it had made so far is thrown away.
 *
 *   QUEUED   -> FREEZING | COPYING | WORKING   waits for its turn
 *   FREEZING -> COPYING                        its sandbox runs, and is held still
 *   COPYING  -> WORKING                        a copy of the disk is made; then the sandbox goes on
 *   WORKING                                    everything else
 *
 * A helper that does not say for two minutes that it goes on is ended.
 */
#ifndef DT_LAUNCHER_ERRAND_H
#define DT_LAUNCHER_ERRAND_H

#include <stdbool.h>
#include <stdint.h>

#include "runnerd/launcher/loop.h"
#include "runnerd/launcher/peer.h"
#include "runnerd/launcher/worker.h"

struct dt_launcher;

enum dt_errand_kind {
    DT_ERRAND_ARCHIVE,
    DT_ERRAND_BACKUP,
    DT_ERRAND_RESTORE,
    DT_ERRAND_FORK,
    DT_ERRAND_GROW,
    DT_ERRAND_KINDS
};

enum dt_errand_state { DT_ERRAND_QUEUED, DT_ERRAND_FREEZING, DT_ERRAND_COPYING, DT_ERRAND_WORKING };

struct dt_errand {
    struct dt_launcher *l;
    struct dt_errand *next;
    enum dt_errand_kind kind;
    enum dt_errand_state state;
    uint8_t disk[16]; /* the sandbox whose disk it reads or makes */
    bool holds;       /* that sandbox is held still */
    struct dt_job job;
    struct dt_asked asked; /* not of FORK: there the new sandbox answers */
    struct dt_worker worker;
    struct dt_timer timer;
};

/* The requests; each sends its answer, now or later. */
void dt_errand_archive(struct dt_launcher *l, const struct dt_lw_request *r,
                       struct dt_asked *asked);
void dt_errand_restore(struct dt_launcher *l, const struct dt_lw_request *r,
                       struct dt_asked *asked);
void dt_errand_backup(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked);
/* Of a sandbox that does not run. */
void dt_errand_grow(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked);
void dt_errand_cancel(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked);

/* A folder pool/<job->serial> with a copy of the disk of job->other, for dt_sandbox_on_disk(). */
int dt_errand_fork(struct dt_launcher *l, const struct dt_job *job,
                   struct dt_err *err) DT_MUST_CHECK;

/* One that the sandbox must not be started, stopped or resized beside. */
bool dt_errand_blocks(const struct dt_launcher *l, const uint8_t id[16]);
/* The sandbox starts or stops: its disk is no longer as those that only read it need it. */
void dt_errand_yield(struct dt_launcher *l, const uint8_t id[16]);
/* The sandbox is destroyed: all of them end. */
void dt_errand_drop(struct dt_launcher *l, const uint8_t id[16]);
/* The sandbox is frozen, or cannot be. */
void dt_errand_frozen(struct dt_launcher *l, const uint8_t id[16], const struct dt_err *err);
/* Ends all of them; nobody is told. */
void dt_errand_done(struct dt_launcher *l);

/* objects/: what a sandbox has there. */
bool dt_object_exists(const struct dt_launcher *l, enum dt_job_place place, const uint8_t id[16]);
/* To trash; a missing one is fine. */
int dt_object_drop(struct dt_launcher *l, enum dt_job_place place, const uint8_t id[16],
                   struct dt_err *err) DT_MUST_CHECK;
/* At the start, before anything else: half-made ones go, and archives beside which there is a disk.
 */
void dt_object_clean(struct dt_launcher *l);

#endif
