/* The toolbox's operations: one function each, called with a complete head. The table that joins
 * them with schemas/toolbox is in router.c. */
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

enum { DT_TOOLBOX_SEGMENTS_MAX = 2 };

/* `segments` are the {name}s in the operation's path in order, percent-decoded by nobody yet. */
typedef void dt_toolbox_op(struct dt_toolbox *tb, struct dt_http_req *req,
                           const struct dt_str *segments);

dt_toolbox_op dt_op_process_execute;
dt_toolbox_op dt_op_code_run;
dt_toolbox_op dt_op_context_create;
dt_toolbox_op dt_op_context_list;
dt_toolbox_op dt_op_context_delete;
dt_toolbox_op dt_op_interpreter_execute;
dt_toolbox_op dt_op_files_list;
dt_toolbox_op dt_op_files_info;
dt_toolbox_op dt_op_files_folder;
dt_toolbox_op dt_op_files_delete;
dt_toolbox_op dt_op_files_move;
dt_toolbox_op dt_op_files_permissions;
dt_toolbox_op dt_op_files_download;
dt_toolbox_op dt_op_files_upload;
dt_toolbox_op dt_op_files_upload_raw;
dt_toolbox_op dt_op_files_bulk_upload;
dt_toolbox_op dt_op_files_bulk_download;
dt_toolbox_op dt_op_git_clone;
dt_toolbox_op dt_op_version;
dt_toolbox_op dt_op_user_home_dir;
dt_toolbox_op dt_op_work_dir;
dt_toolbox_op dt_op_port_list;
dt_toolbox_op dt_op_port_in_use;

#endif
