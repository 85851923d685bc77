/* What the notification socket tells of sandboxes, volumes and snapshots, in the words and objects
 * of the API. */
#ifndef DT_API_EVENTS_H
#define DT_API_EVENTS_H

#include "runnerd/runnerd.h"

/* For rd->on_sandbox and rd->on_volume. */
void dt_api_event_sandbox(struct dt_runnerd *rd, const struct dt_sandbox_row *row,
                          const struct dt_live *before);
void dt_api_event_volume(struct dt_runnerd *rd, const struct dt_volume_row *row,
                         const enum dt_volume_state *before);

/* api_events_snapshot.c. Snapshots are imported by another process (`daytona-runnerd snapshot
 * import`): while somebody listens the store is looked at every two seconds. */
struct dt_snapshot_watch;
int dt_snapshot_watch_new(struct dt_runnerd *rd, struct dt_snapshot_watch **ret,
                          struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine. Before the store is closed. Returns NULL; the loop must run once more. */
struct dt_snapshot_watch *dt_snapshot_watch_free(struct dt_snapshot_watch *w);

#endif
