/*
 * Makes and deletes volumes. As with sandboxes each is one operation of commits around a call of
 * the launcher: the row says what is about to happen before it does. What a crash or a lost
 * launcher leaves half done, dt_volumes_resume() ends.
 */
#ifndef DT_RUNNERD_VOLUME_H
#define DT_RUNNERD_VOLUME_H

#include "runnerd/runnerd.h"
#include "runnerd/store_volume.h"

/* Exactly once, from the loop, never from inside the call that took it. `row` is borrowed. */
typedef void dt_volume_done(void *ctx, const struct dt_volume_row *row, const struct dt_err *err);

/* `name` is copied; "" = the volume's id. `done` gets the row as it was asked for
 * (`pending_create`), after the volume was made: it is ready then, or says in its row why not.
 * While the launcher is away `done` comes at once. FORBIDDEN above the quota, BAD_REQUEST for a bad
 * name or one that is taken. */
int dt_volume_create(struct dt_runnerd *rd, const char *org, const char *name, dt_volume_done *done,
                     void *ctx, struct dt_err *err) DT_MUST_CHECK;
/* `done` comes when it is gone, or as soon as that is only a matter of time. NOT_FOUND; CONFLICT
 * while a sandbox has it, running or not; BAD_REQUEST while it is being made or deleted. */
int dt_volume_delete(struct dt_runnerd *rd, const char *org, const char *id, dt_volume_done *done,
                     void *ctx, struct dt_err *err) DT_MUST_CHECK;

/* Goes on with what is to be made or deleted and is not being worked on; with each connection to
 * the launcher, and now and then. */
void dt_volumes_resume(struct dt_runnerd *rd);

#endif
