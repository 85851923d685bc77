/* The inner parts of mcp/api.h: what is asked, and what an answer says. */
#ifndef DT_API_IN_H
#define DT_API_IN_H

#include "mcp/api.h"
#include "net/http_client.h"

/* Whether one answer serves both: the same GET. */
bool dt_api_req_same(const struct dt_api_req *a, const struct dt_api_req *b);

/* What an answer of status 400 and more says: its message, which may be a list, else the status. */
void dt_api_failure(const struct dt_api_reply *reply, struct dt_err *err);

/* The whole size that a Content-Range names; UINT64_MAX: none. */
uint64_t dt_api_total(const struct dt_http_reply *http);

#endif
