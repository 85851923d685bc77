/* Which operation a request asks for. */
#ifndef DT_API_ROUTE_H
#define DT_API_ROUTE_H

#include "runnerd/api/api.h"

/* Sets a->op, a->params (decoded, at most 4 KiB each) and a->rest. Paths are served with and
 * without /api before them, and empty segments do not count: base URLs that end in a slash make
 * them. NOT_FOUND: there is no such operation. Another error: there is, but a parameter is
 * malformed. */
int dt_api_route(struct dt_api_req *a, struct dt_err *err) DT_MUST_CHECK;

#endif
