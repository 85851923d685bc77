/* Runners as the wire shows them: this machine, and others that were registered. */
#ifndef DT_API_RUNNER_H
#define DT_API_RUNNER_H

#include "runnerd/api/api.h"

/* One that is registered; NULL without memory. Of its key the ends alone are known. */
json_t *dt_api_remote_json(const struct dt_runnerd *rd, const struct dt_remote *r, bool with_key);
/* The same for who asks; `r` NULL is this machine. Members see no key, services of a region and
 * registered runners not that of this machine. */
json_t *dt_api_runner_json(const struct dt_api_req *a, const struct dt_remote *r);
/* Whether who asks may know of it: a registered runner of itself, members and services of a region
 * of those of the organization or region and of this machine, all others of all. */
bool dt_api_runner_shown(const struct dt_api_req *a, const struct dt_remote *r);
/* The one that the path names, else the one that asks; *ret NULL is this machine. False when it was
 * answered 404. */
bool dt_api_runner_named(struct dt_api_req *a, struct dt_remote **ret);

/* On the notification socket: it is new, or may be scheduled or not from now on. */
void dt_api_event_runner(struct dt_runnerd *rd, const struct dt_remote *r, const char *name);

#endif
