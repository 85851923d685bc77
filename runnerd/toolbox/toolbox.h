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

/* `segments` are the {name}s in the operation's path in order, percent-decoded by nobody yet. */
typedef void dt_toolbox_op(struct dt_toolbox *tb, struct dt_http_req *req,
                           const struct dt_str *segments);

dt_toolbox_op dt_op_process_execute;
dt_toolbox_op dt_op_session_list;
dt_toolbox_op dt_op_session_create;
dt_toolbox_op dt_op_session_get;
dt_toolbox_op dt_op_session_delete;
dt_toolbox_op dt_op_session_command;
dt_toolbox_op dt_op_session_logs;
dt_toolbox_op dt_op_session_output;
dt_toolbox_op dt_op_session_execute;
dt_toolbox_op dt_op_session_input;
dt_toolbox_op dt_op_session_entrypoint;
dt_toolbox_op dt_op_session_entrypoint_logs;
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
dt_toolbox_op dt_op_files_edit;
dt_toolbox_op dt_op_files_permissions;
dt_toolbox_op dt_op_files_download;
dt_toolbox_op dt_op_files_find;
dt_toolbox_op dt_op_files_search;
dt_toolbox_op dt_op_files_replace;
dt_toolbox_op dt_op_files_upload;
dt_toolbox_op dt_op_files_upload_v2;
dt_toolbox_op dt_op_files_upload_raw;
dt_toolbox_op dt_op_files_bulk_upload;
dt_toolbox_op dt_op_files_bulk_download;
dt_toolbox_op dt_op_git_clone;
dt_toolbox_op dt_op_pty_list;
dt_toolbox_op dt_op_pty_create;
dt_toolbox_op dt_op_pty_create_connect;
dt_toolbox_op dt_op_pty_get;
dt_toolbox_op dt_op_pty_delete;
dt_toolbox_op dt_op_pty_resize;
dt_toolbox_op dt_op_pty_connect;
dt_toolbox_op dt_op_git_status;
dt_toolbox_op dt_op_git_branch_list;
dt_toolbox_op dt_op_git_branch_create;
dt_toolbox_op dt_op_git_branch_delete;
dt_toolbox_op dt_op_git_checkout;
dt_toolbox_op dt_op_git_add;
dt_toolbox_op dt_op_git_commit;
dt_toolbox_op dt_op_git_history;
dt_toolbox_op dt_op_git_pull;
dt_toolbox_op dt_op_git_push;
dt_toolbox_op dt_op_git_init;
dt_toolbox_op dt_op_git_reset;
dt_toolbox_op dt_op_git_restore;
dt_toolbox_op dt_op_git_remote_list;
dt_toolbox_op dt_op_git_remote_add;
dt_toolbox_op dt_op_git_config_get;
dt_toolbox_op dt_op_git_config_set;
dt_toolbox_op dt_op_git_config_user;
dt_toolbox_op dt_op_git_credentials;
dt_toolbox_op dt_op_lsp_start;
dt_toolbox_op dt_op_lsp_stop;
dt_toolbox_op dt_op_lsp_did_open;
dt_toolbox_op dt_op_lsp_did_close;
dt_toolbox_op dt_op_lsp_completions;
dt_toolbox_op dt_op_lsp_document_symbols;
dt_toolbox_op dt_op_lsp_workspace_symbols;
dt_toolbox_op dt_op_version;
dt_toolbox_op dt_op_user_home_dir;
dt_toolbox_op dt_op_work_dir;
dt_toolbox_op dt_op_init;
dt_toolbox_op dt_op_env;
dt_toolbox_op dt_op_system_metrics;
dt_toolbox_op dt_op_port_list;
dt_toolbox_op dt_op_port_in_use;

#endif
