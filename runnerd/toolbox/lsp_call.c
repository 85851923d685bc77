#include "toolbox/lsp_call.h"

uint64_t dt_lsp_calls_add(struct dt_lsp_calls *all, uint64_t now_ms, uint64_t timeout_ms,
                          dt_lsp_answer *answer, void *ctx, struct dt_err *err)
{
    if (all->count >= DT_LSP_CALLS_MAX) {
        (void)dt_err_set(err, DT_E_LIMIT, "the language server works on %d requests already",
                         DT_LSP_CALLS_MAX);
        return 0;
    }
    struct dt_lsp_call *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        (void)dt_err_set(err, DT_E_NOMEM, "request to the language server");
        return 0;
    }
    *c = (struct dt_lsp_call){
        all->first, ++all->last_number, now_ms, now_ms + timeout_ms, answer, ctx,
    };
    all->first = c;
    all->count++;
    return c->number;
}

struct dt_lsp_call *dt_lsp_calls_take(struct dt_lsp_calls *all, uint64_t number)
{
    for (struct dt_lsp_call **at = &all->first; *at != NULL; at = &(*at)->next) {
        struct dt_lsp_call *c = *at;
        if (c->number != number)
            continue;
        *at = c->next;
        all->count--;
        return c;
    }
    return NULL;
}

struct dt_lsp_call *dt_lsp_calls_take_late(struct dt_lsp_calls *all, uint64_t now_ms)
{
    for (const struct dt_lsp_call *c = all->first; c != NULL; c = c->next) {
        if (c->deadline_ms <= now_ms)
            return dt_lsp_calls_take(all, c->number);
    }
    return NULL;
}

uint64_t dt_lsp_calls_deadline(const struct dt_lsp_calls *all)
{
    uint64_t first = UINT64_MAX;
    for (const struct dt_lsp_call *c = all->first; c != NULL; c = c->next)
        first = c->deadline_ms < first ? c->deadline_ms : first;
    return first;
}

void dt_lsp_calls_fail(struct dt_lsp_calls *all, const struct dt_err *why)
{
    struct dt_lsp_call *c;
    while ((c = all->first) != NULL) {
        all->first = c->next;
        all->count--;
        c->answer(c->ctx, NULL, why);
        free(c);
    }
}
