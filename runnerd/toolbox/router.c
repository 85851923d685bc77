#include "gen/toolbox_api.h"
#include "toolbox/reply.h"
#include "toolbox/toolbox.h"

static dt_toolbox_op *const handlers[DT_TB_OP_COUNT] = {
    [DT_TB_PROCESS_EXECUTE] = dt_op_process_execute,
    [DT_TB_SESSION_LIST] = dt_op_session_list,
    [DT_TB_SESSION_CREATE] = dt_op_session_create,
    [DT_TB_SESSION_GET] = dt_op_session_get,
    [DT_TB_SESSION_DELETE] = dt_op_session_delete,
    [DT_TB_SESSION_COMMAND] = dt_op_session_command,
    [DT_TB_SESSION_LOGS] = dt_op_session_logs,
    [DT_TB_SESSION_OUTPUT] = dt_op_session_output,
    [DT_TB_SESSION_EXECUTE] = dt_op_session_execute,
    [DT_TB_SESSION_INPUT] = dt_op_session_input,
    [DT_TB_SESSION_ENTRYPOINT] = dt_op_session_entrypoint,
    [DT_TB_SESSION_ENTRYPOINT_LOGS] = dt_op_session_entrypoint_logs,
    [DT_TB_CODE_RUN] = dt_op_code_run,
    [DT_TB_CONTEXT_CREATE] = dt_op_context_create,
    [DT_TB_CONTEXT_LIST] = dt_op_context_list,
    [DT_TB_CONTEXT_DELETE] = dt_op_context_delete,
    [DT_TB_INTERPRETER_EXECUTE] = dt_op_interpreter_execute,
    [DT_TB_FILES_LIST] = dt_op_files_list,
    [DT_TB_FILES_INFO] = dt_op_files_info,
    [DT_TB_FILES_FOLDER] = dt_op_files_folder,
    [DT_TB_FILES_DELETE] = dt_op_files_delete,
    [DT_TB_FILES_MOVE] = dt_op_files_move,
    [DT_TB_FILES_EDIT] = dt_op_files_edit,
    [DT_TB_FILES_PERMISSIONS] = dt_op_files_permissions,
    [DT_TB_FILES_DOWNLOAD] = dt_op_files_download,
    [DT_TB_FILES_FIND] = dt_op_files_find,
    [DT_TB_FILES_SEARCH] = dt_op_files_search,
    [DT_TB_FILES_REPLACE] = dt_op_files_replace,
    [DT_TB_FILES_UPLOAD_V2] = dt_op_files_upload_v2,
    [DT_TB_FILES_UPLOAD] = dt_op_files_upload,
    [DT_TB_FILES_UPLOAD_RAW] = dt_op_files_upload_raw,
    [DT_TB_FILES_BULK_UPLOAD] = dt_op_files_bulk_upload,
    [DT_TB_FILES_BULK_DOWNLOAD] = dt_op_files_bulk_download,
    [DT_TB_GIT_CLONE] = dt_op_git_clone,
    [DT_TB_PTY_LIST] = dt_op_pty_list,
    [DT_TB_PTY_CREATE] = dt_op_pty_create,
    [DT_TB_PTY_CREATE_CONNECT] = dt_op_pty_create_connect,
    [DT_TB_PTY_GET] = dt_op_pty_get,
    [DT_TB_PTY_DELETE] = dt_op_pty_delete,
    [DT_TB_PTY_RESIZE] = dt_op_pty_resize,
    [DT_TB_PTY_CONNECT] = dt_op_pty_connect,
    [DT_TB_GIT_STATUS] = dt_op_git_status,
    [DT_TB_GIT_BRANCH_LIST] = dt_op_git_branch_list,
    [DT_TB_GIT_BRANCH_CREATE] = dt_op_git_branch_create,
    [DT_TB_GIT_BRANCH_DELETE] = dt_op_git_branch_delete,
    [DT_TB_GIT_CHECKOUT] = dt_op_git_checkout,
    [DT_TB_GIT_ADD] = dt_op_git_add,
    [DT_TB_GIT_COMMIT] = dt_op_git_commit,
    [DT_TB_GIT_HISTORY] = dt_op_git_history,
    [DT_TB_GIT_PULL] = dt_op_git_pull,
    [DT_TB_GIT_PUSH] = dt_op_git_push,
    [DT_TB_GIT_INIT] = dt_op_git_init,
    [DT_TB_GIT_RESET] = dt_op_git_reset,
    [DT_TB_GIT_RESTORE] = dt_op_git_restore,
    [DT_TB_GIT_REMOTE_LIST] = dt_op_git_remote_list,
    [DT_TB_GIT_REMOTE_ADD] = dt_op_git_remote_add,
    [DT_TB_GIT_CONFIG_GET] = dt_op_git_config_get,
    [DT_TB_GIT_CONFIG_SET] = dt_op_git_config_set,
    [DT_TB_GIT_CONFIG_USER] = dt_op_git_config_user,
    [DT_TB_GIT_CREDENTIALS] = dt_op_git_credentials,
    [DT_TB_LSP_START] = dt_op_lsp_start,
    [DT_TB_LSP_STOP] = dt_op_lsp_stop,
    [DT_TB_LSP_DID_OPEN] = dt_op_lsp_did_open,
    [DT_TB_LSP_DID_CLOSE] = dt_op_lsp_did_close,
    [DT_TB_LSP_COMPLETIONS] = dt_op_lsp_completions,
    [DT_TB_LSP_DOCUMENT_SYMBOLS] = dt_op_lsp_document_symbols,
    [DT_TB_LSP_WORKSPACE_SYMBOLS] = dt_op_lsp_workspace_symbols,
    [DT_TB_LSP_WORKSPACESYMBOLS] = dt_op_lsp_workspace_symbols,
    [DT_TB_VERSION] = dt_op_version,
    [DT_TB_USER_HOME_DIR] = dt_op_user_home_dir,
    [DT_TB_PROJECT_DIR] = dt_op_user_home_dir,
    [DT_TB_WORK_DIR] = dt_op_work_dir,
    [DT_TB_INIT] = dt_op_init,
    [DT_TB_ENV] = dt_op_env,
    [DT_TB_SYSTEM_METRICS] = dt_op_system_metrics,
    [DT_TB_PORT_LIST] = dt_op_port_list,
    [DT_TB_PORT_IN_USE] = dt_op_port_in_use,
};

void dt_toolbox_handle(void *ctx, struct dt_http_req *req)
{
    struct dt_toolbox *tb = ctx;
    struct dt_err err;
    struct dt_str segments[DT_ROUTE_SEGMENTS_MAX];
    struct dt_str path = dt_http_req_path(req), method = dt_http_req_method(req);
    const struct dt_route *r = dt_route_find(dt_tb_routes, DT_TB_OP_COUNT, method, path, segments);
    if (r != NULL && handlers[r - dt_tb_routes] != NULL) {
        handlers[r - dt_tb_routes](tb, req, segments);
        return;
    }
    if (r != NULL)
        (void)dt_err_set(&err, DT_E_UNSUPPORTED, "%s", r->unserved);
    else
        (void)dt_err_set(&err, DT_E_NOT_FOUND, "the toolbox has no operation %.*s %.*s",
                         (int)(method.n < 32 ? method.n : 32), method.p,
                         (int)(path.n < 300 ? path.n : 300), path.p);
    dt_reply_error(req, &err);
}
