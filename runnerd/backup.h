/*
 * Backups: copies of a sandbox's files, as they are at one moment, in the object store beside the
 * sandbox. It goes on meanwhile, and may be stopped, started or destroyed: what that interrupts is
 * `Pending` and tried again by the clock, also after a restart of this program.
 */
#ifndef DT_BACKUP_H
#define DT_BACKUP_H

#include "runnerd/lifecycle.h"

/* `done` comes once with the row as it was before. Refuses with the texts of
 * dt_sandbox_check_call(). */
int dt_backup_start(struct dt_runnerd *rd, struct dt_live *l, dt_lifecycle_done *done, void *ctx,
                    struct dt_err *err) DT_MUST_CHECK;
/* Begins one that is still to be made, if it can be made now. */
void dt_backup_retry(struct dt_runnerd *rd, struct dt_live *l);

#endif
