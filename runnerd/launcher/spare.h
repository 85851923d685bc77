/* Loop devices that no disk needs any more go when the launcher has nothing else to do. */
#ifndef DT_LAUNCHER_SPARE_H
#define DT_LAUNCHER_SPARE_H

#include "runnerd/launcher/worker.h"

struct dt_launcher;

struct dt_spare {
    struct dt_timer timer;
    bool asked; /* the sweeper is at it */
    bool again; /* a disk has gone meanwhile */
};

/* A disk is gone, or may be: its device is looked at in some time. */
void dt_spare_disk_free(struct dt_launcher *l);
void dt_spare_on_job(struct dt_launcher *l, const struct dt_job_done *done);
/* The sweeper has died. */
void dt_spare_lost_job(struct dt_launcher *l);
void dt_spare_done(struct dt_launcher *l);

#endif
