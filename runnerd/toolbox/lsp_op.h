/* One operation on a language server, from its arguments to its answer. */
#ifndef DT_TOOLBOX_LSP_OP_H
#define DT_TOOLBOX_LSP_OP_H

#include "json/json.h"
#include "toolbox/toolbox.h"

enum dt_lsp_kind {
    DT_LSP_START,
    DT_LSP_STOP,
    DT_LSP_DID_OPEN,
    DT_LSP_DID_CLOSE,
    DT_LSP_COMPLETIONS,
    DT_LSP_DOCUMENT_SYMBOLS,
    DT_LSP_WORKSPACE_SYMBOLS,
};

/* Those that an operation does not have are NULL. */
struct dt_lsp_args {
    const char *language, *project, *uri, *query;
    json_t *position, *context;
};

struct dt_lsp_op;

/* Belongs to the request, whose dt_http_req_on_done() it takes, and goes with it: a client that
 * leaves cancels what was asked of the server. NULL: answered, as out of memory. */
struct dt_lsp_op *dt_lsp_op_new(struct dt_toolbox *tb, struct dt_http_req *req,
                                enum dt_lsp_kind kind);
/* Answers that the arguments are wrong, instead of dt_lsp_op_run(). */
void dt_lsp_op_fail(struct dt_lsp_op *o, const struct dt_err *err);
/* Copies `args`, does it and answers. Once. */
void dt_lsp_op_run(struct dt_lsp_op *o, const struct dt_lsp_args *args);

#endif
