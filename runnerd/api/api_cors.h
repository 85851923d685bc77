/* What every answer of the API says besides: its version, and to pages of other origins that they
 * may read it. They ask with a key or token, never with a cookie of ours: there is none. */
#ifndef DT_API_CORS_H
#define DT_API_CORS_H

#include "net/http_server.h"

/* True when the request was a preflight and is answered. */
bool dt_api_cors(struct dt_http_req *req);

#endif
