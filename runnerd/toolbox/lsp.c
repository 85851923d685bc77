/* POST /lsp/start, stop, did-open, did-close, completions; GET /lsp/document-symbols,
 * workspacesymbols. */
#include "toolbox/lsp_op.h"
#include "toolbox/reply.h"

enum { BODY_MAX = 128 * 1024, DEPTH_MAX = 8 };

/* -1: `err` says what is wrong with the body. Else the request is the operation's. */
typedef int run_fn(struct dt_lsp_op *op, json_t *body, struct dt_err *err);

static int run_server(struct dt_lsp_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_lsp_server in;
    if (dt_tb_lsp_server_parse(body, &in, err) < 0)
        return -1;
    const struct dt_lsp_args args = {.language = in.language_id, .project = in.path_to_project};
    dt_lsp_op_run(op, &args);
    dt_tb_lsp_server_done(&in);
    return 0;
}

static int run_document(struct dt_lsp_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_lsp_document in;
    if (dt_tb_lsp_document_parse(body, &in, err) < 0)
        return -1;
    const struct dt_lsp_args args = {
        .language = in.language_id, .project = in.path_to_project, .uri = in.uri};
    dt_lsp_op_run(op, &args);
    dt_tb_lsp_document_done(&in);
    return 0;
}

static int run_completion(struct dt_lsp_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_lsp_completion in;
    if (dt_tb_lsp_completion_parse(body, &in, err) < 0)
        return -1;
    const struct dt_lsp_args args = {
        .language = in.language_id,
        .project = in.path_to_project,
        .uri = in.uri,
        .position = in.position,
        .context = in.context,
    };
    dt_lsp_op_run(op, &args);
    dt_tb_lsp_completion_done(&in);
    return 0;
}

static void on_body(struct dt_lsp_op *op, struct dt_str body, const struct dt_err *failed,
                    run_fn *run)
{
    struct dt_err err;
    if (failed != NULL)
        return; /* answered */
    DT_AUTO_JSON json_t *j = dt_json_parse(body, DEPTH_MAX, &err);
    if (j == NULL || run(op, j, &err) < 0) {
        err.code = DT_E_INVALID;
        dt_lsp_op_fail(op, &err);
    }
}

static void on_server_body(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    on_body(ctx, body, failed, run_server);
}

static void on_document_body(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    on_body(ctx, body, failed, run_document);
}

static void on_completion_body(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    on_body(ctx, body, failed, run_completion);
}

static void post(struct dt_toolbox *tb, struct dt_http_req *req, enum dt_lsp_kind kind,
                 void (*cb)(void *ctx, struct dt_str body, const struct dt_err *failed))
{
    struct dt_lsp_op *op = dt_lsp_op_new(tb, req, kind);
    if (op != NULL)
        dt_http_req_collect(req, BODY_MAX, cb, op);
}

void dt_op_lsp_start(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    post(tb, req, DT_LSP_START, on_server_body);
}

void dt_op_lsp_stop(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    post(tb, req, DT_LSP_STOP, on_server_body);
}

void dt_op_lsp_did_open(struct dt_toolbox *tb, struct dt_http_req *req,
                        const struct dt_str *segments)
{
    (void)segments;
    post(tb, req, DT_LSP_DID_OPEN, on_document_body);
}

void dt_op_lsp_did_close(struct dt_toolbox *tb, struct dt_http_req *req,
                         const struct dt_str *segments)
{
    (void)segments;
    post(tb, req, DT_LSP_DID_CLOSE, on_document_body);
}

void dt_op_lsp_completions(struct dt_toolbox *tb, struct dt_http_req *req,
                           const struct dt_str *segments)
{
    (void)segments;
    post(tb, req, DT_LSP_COMPLETIONS, on_completion_body);
}

/* --- with a query --- */

void dt_op_lsp_document_symbols(struct dt_toolbox *tb, struct dt_http_req *req,
                                const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct dt_tb_lsp_document_query in;
    if (dt_tb_lsp_document_query_parse_query(dt_http_req_query(req), &in, &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    const struct dt_lsp_args args = {
        .language = in.language_id, .project = in.path_to_project, .uri = in.uri};
    struct dt_lsp_op *op = dt_lsp_op_new(tb, req, DT_LSP_DOCUMENT_SYMBOLS);
    if (op != NULL)
        dt_lsp_op_run(op, &args);
    dt_tb_lsp_document_query_done(&in);
}

void dt_op_lsp_workspace_symbols(struct dt_toolbox *tb, struct dt_http_req *req,
                                 const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct dt_tb_lsp_workspace_query in;
    if (dt_tb_lsp_workspace_query_parse_query(dt_http_req_query(req), &in, &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    const struct dt_lsp_args args = {
        .language = in.language_id, .project = in.path_to_project, .query = in.query};
    struct dt_lsp_op *op = dt_lsp_op_new(tb, req, DT_LSP_WORKSPACE_SYMBOLS);
    if (op != NULL)
        dt_lsp_op_run(op, &args);
    dt_tb_lsp_workspace_query_done(&in);
}
