/* /api/socket.io/: where newer clients ask for notifications. There are none here, so everybody is
 * refused in the protocol's own way (Socket.IO 4 over WebSocket): clients then poll, while after a
 * plain 404 they try to connect for minutes. */
#ifndef DT_API_SOCKET_H
#define DT_API_SOCKET_H

#include "runnerd/runnerd.h"

/* False when the request is for something else, else it is answered. Needs no credentials and tells
 * nothing. */
bool dt_api_socket(struct dt_http_req *req);

#endif
