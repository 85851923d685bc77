/* /api/socket.io/: the notification socket. What it tells is in api_events.c, how in
 * notify/listener.h. */
#ifndef DT_API_SOCKET_H
#define DT_API_SOCKET_H

#include "runnerd/runnerd.h"

/* False when the request is for something else, else it is answered. */
bool dt_api_socket(struct dt_runnerd *rd, struct dt_http_req *req);

#endif
