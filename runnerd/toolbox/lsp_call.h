/* The calls of a language server that wait for their answers. */
#ifndef DT_TOOLBOX_LSP_CALL_H
#define DT_TOOLBOX_LSP_CALL_H

#include "json/json.h"

enum { DT_LSP_CALLS_MAX = 64 }; /* of one server */

/* `result` is borrowed, NULL exactly when `err` is set: TIMEOUT, UNREACHABLE when the server ended,
 * BAD_REQUEST when it refused. */
typedef void dt_lsp_answer(void *ctx, json_t *result, const struct dt_err *err);

struct dt_lsp_call {
    struct dt_lsp_call *next;
    uint64_t number, sent_ms, deadline_ms;
    dt_lsp_answer *answer;
    void *ctx;
};

/* Zeroed at first. */
struct dt_lsp_calls {
    struct dt_lsp_call *first;
    unsigned count;
    uint64_t last_number;
};

/* Returns its number; 0: LIMIT or NOMEM. */
uint64_t dt_lsp_calls_add(struct dt_lsp_calls *all, uint64_t now_ms, uint64_t timeout_ms,
                          dt_lsp_answer *answer, void *ctx, struct dt_err *err) DT_MUST_CHECK;
/* It is the caller's from here on (free()); NULL: there is none of that number. */
struct dt_lsp_call *dt_lsp_calls_take(struct dt_lsp_calls *all, uint64_t number);
/* The same for one whose deadline is over. */
struct dt_lsp_call *dt_lsp_calls_take_late(struct dt_lsp_calls *all, uint64_t now_ms);
/* The earliest; UINT64_MAX: there is none. */
uint64_t dt_lsp_calls_deadline(const struct dt_lsp_calls *all);
/* Answers all of them, and those that are added meanwhile. */
void dt_lsp_calls_fail(struct dt_lsp_calls *all, const struct dt_err *why);

#endif
