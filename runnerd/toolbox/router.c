#include "gen/toolbox_api.h"
#include "toolbox/reply.h"
#include "toolbox/toolbox.h"

static dt_toolbox_op *const handlers[DT_TB_OP_COUNT] = {
    [DT_TB_PROCESS_EXECUTE] = dt_op_process_execute,
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
    [DT_TB_FILES_PERMISSIONS] = dt_op_files_permissions,
    [DT_TB_FILES_DOWNLOAD] = dt_op_files_download,
    [DT_TB_FILES_UPLOAD] = dt_op_files_upload,
    [DT_TB_FILES_UPLOAD_RAW] = dt_op_files_upload_raw,
    [DT_TB_FILES_BULK_UPLOAD] = dt_op_files_bulk_upload,
    [DT_TB_FILES_BULK_DOWNLOAD] = dt_op_files_bulk_download,
    [DT_TB_GIT_CLONE] = dt_op_git_clone,
    [DT_TB_VERSION] = dt_op_version,
    [DT_TB_USER_HOME_DIR] = dt_op_user_home_dir,
    [DT_TB_PROJECT_DIR] = dt_op_user_home_dir,
    [DT_TB_WORK_DIR] = dt_op_work_dir,
    [DT_TB_PORT_LIST] = dt_op_port_list,
    [DT_TB_PORT_IN_USE] = dt_op_port_in_use,
};

/* Whether `path` is the route's; its {name}s go to `segments`. */
static bool matches(const char *route, struct dt_str path,
                    struct dt_str segments[DT_TOOLBOX_SEGMENTS_MAX])
{
    struct dt_str want = dt_str_z(route), a, b;
    size_t n = 0;
    while (dt_str_cut(&want, '/', &a)) {
        if (!dt_str_cut(&path, '/', &b))
            return false;
        if (a.n > 0 && a.p[0] == '{' && b.n > 0 && n < DT_TOOLBOX_SEGMENTS_MAX)
            segments[n++] = b;
        else if (!dt_str_eq(a, b))
            return false;
    }
    return path.p == NULL;
}

static bool method_fits(const char *want, struct dt_str method)
{
    return dt_str_eq(method, dt_str_z(want)) ||
           (strcmp(want, "GET") == 0 && dt_str_eq(method, DT_STR("HEAD")));
}

void dt_toolbox_handle(void *ctx, struct dt_http_req *req)
{
    struct dt_toolbox *tb = ctx;
    struct dt_err err;
    struct dt_str path = dt_http_req_path(req), method = dt_http_req_method(req);
    if (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    for (size_t i = 0; i < DT_TB_OP_COUNT; i++) {
        struct dt_str segments[DT_TOOLBOX_SEGMENTS_MAX] = {{NULL, 0}};
        if (!method_fits(dt_tb_routes[i].method, method) ||
            !matches(dt_tb_routes[i].path, path, segments))
            continue;
        if (handlers[i] != NULL) {
            handlers[i](tb, req, segments);
            return;
        }
        (void)dt_err_set(&err, DT_E_UNSUPPORTED, "%s", dt_tb_routes[i].unserved);
        dt_reply_error(req, &err);
        return;
    }
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "the toolbox has no operation %.*s %.*s",
                     (int)(method.n < 32 ? method.n : 32), method.p,
                     (int)(path.n < 300 ? path.n : 300), path.p);
    dt_reply_error(req, &err);
}
