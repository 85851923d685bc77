/* One run of a language server: a process that speaks JSON-RPC 2.0 over its standard input and
 * output. It belongs to the sandbox, so nothing that it sends, withholds or floods does harm: what
 * waits to be sent and what is read have limits, every call has a deadline. */
#ifndef DT_TOOLBOX_LSP_PEER_H
#define DT_TOOLBOX_LSP_PEER_H

#include "toolbox/lsp_call.h"
#include "toolbox/toolbox.h"

enum { DT_LSP_UNSENT_MAX = 32 * 1024 * 1024 }; /* bytes the server did not read yet */

struct dt_lsp_peer;

struct dt_lsp_peer_opts {
    const char *const *argv; /* argv[0] is the path of the program */
    const char *cwd;
    const char *root_uri; /* what workspace/workspaceFolders is answered with */
    /* Once, from the loop, when the server ended by itself or had to be ended; `why` says so, with
     * the end of what it printed as errors. The peer is gone then, and its calls fail next. */
    void (*on_end)(void *ctx, const struct dt_err *why);
    void *ctx;
};

/* The errors of dt_process_spawn(); on_end does not come then. */
int dt_lsp_peer_start(struct dt_toolbox *tb, const struct dt_lsp_peer_opts *o,
                      struct dt_lsp_peer **ret, struct dt_err *err) DT_MUST_CHECK;
/* Kills the process and all that came of it. Its calls fail with GONE; on_end does not come. */
void dt_lsp_peer_kill(struct dt_lsp_peer *p);

/* Takes `params`. The answer comes once, from the loop, unless the call is cancelled. Returns its
 * number, which is never 0; 0 when it could not be sent: LIMIT or NOMEM. A server that sent nothing
 * at all until the deadline is ended. */
uint64_t dt_lsp_peer_call(struct dt_lsp_peer *p, const char *method, json_t *params,
                          uint64_t timeout_ms, dt_lsp_answer *answer, void *ctx,
                          struct dt_err *err) DT_MUST_CHECK;
/* The answer does not come any more, and the server is told. An unknown number is fine. */
void dt_lsp_peer_cancel(struct dt_lsp_peer *p, uint64_t number);
/* Takes `params`. */
int dt_lsp_peer_notify(struct dt_lsp_peer *p, const char *method, json_t *params,
                       struct dt_err *err) DT_MUST_CHECK;

#endif
