/* Which Host names the REST API answers to. A web page can point a name of its own at this server
 * (DNS rebinding) and then ask it as if it were the page's; but it has no key, and it cannot make
 * the browser send another name. */
#ifndef DT_API_HOST_H
#define DT_API_HOST_H

#include "runnerd/runnerd.h"

/* True: an address, localhost, this machine's name, or a host of the configured URLs; any name with
 * an Authorization header, over the unix socket, and for /health. Else it was answered with 421. */
bool dt_api_host_ok(const struct dt_runnerd *rd, struct dt_http_req *req);

#endif
