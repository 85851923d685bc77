/* How many requests who may make: the settings RATE_LIMIT_*, and what organizations have instead.
 * Programs of this server and the user of this machine are not counted. */
#ifndef DT_API_LIMIT_H
#define DT_API_LIMIT_H

#include "runnerd/api/api.h"

/* Before anybody is asked who they are. LIMIT: answered by dt_api_fail(), with the headers set. */
int dt_api_limit_early(struct dt_api_req *a, struct dt_err *err) DT_MUST_CHECK;
/* Counts credentials that were refused. */
void dt_api_limit_failed(struct dt_api_req *a);
/* When it is known who asks for what. */
int dt_api_limit(struct dt_api_req *a, struct dt_err *err) DT_MUST_CHECK;
/* Those of the settings as clients see them; NULL when there are none. */
json_t *dt_api_limits_json(const struct dt_config_runnerd *config);

#endif
