#include "runnerd/api/api_socket.h"

#include "base/clock.h"
#include "runnerd/forward.h"
#include "runnerd/notify/listener.h"

bool dt_api_socket(struct dt_runnerd *rd, struct dt_http_req *req)
{
    struct dt_err err;
    struct dt_str path = dt_http_req_path(req);
    if (!dt_str_eq(path, DT_STR("/api/socket.io/")) && !dt_str_eq(path, DT_STR("/api/socket.io")))
        return false;
    rd->last_request_ms = dt_clock_ms();
    if (dt_listener_accept(rd, req, &err) < 0) {
        if (err.code == DT_E_BAD_REQUEST)
            (void)dt_err_wrap(&err, "the notification socket speaks WebSocket only: use "
                                    "transport=websocket");
        dt_reply_error(req, &err, "DAYTONA_API");
    }
    return true;
}
