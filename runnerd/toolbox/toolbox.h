/* The toolbox's operations: one function each, called with a complete head. schemas/toolbox names
 * them: dt_op_<id>. */
#ifndef DT_TOOLBOX_H
#define DT_TOOLBOX_H

#include "net/ws_conn.h"
#include "toolbox/guest.h"

struct dt_toolbox {
    uv_loop_t *loop;
    struct dt_guest guest;
    const char *output_dir;     /* where long outputs go */
    struct dt_ws_group sockets; /* every WebSocket, to be closed in order at the end */
};

/* The handler of the HTTP server; ctx is the struct dt_toolbox. */
void dt_toolbox_handle(void *ctx, struct dt_http_req *req);

/* `segments` are the {name}s in the operation's path in order, percent-decoded by nobody yet. */
typedef void dt_toolbox_op(struct dt_toolbox *tb, struct dt_http_req *req,
                           const struct dt_str *segments);

#include "gen/toolbox_handlers.h"

#endif
