/* The sandbox's language servers: one for a language and a project, with the documents that are
 * open in it. It is there from its start to its stop; its process comes when it is needed, and
 * again after it died. */
#ifndef DT_TOOLBOX_LSP_SERVER_H
#define DT_TOOLBOX_LSP_SERVER_H

#include "toolbox/lsp_peer.h"

enum { DT_LSP_SERVERS_MAX = 8 };

struct dt_lsp_language {
    const char *name;         /* languageId of the clients */
    const char *argv[3];      /* argv[0] is looked up in PATH */
    const char *install;      /* how one gets it */
    const char *suffixes[10]; /* of its files, ended by NULL */
    const char *configs[3];   /* files that make workspace/symbol know the project; NULL: it never
                                 does */
};

/* NULL and BAD_REQUEST for a language without a server. */
const struct dt_lsp_language *dt_lsp_language_find(const char *name, struct dt_err *err);

struct dt_lsp_server;

/* Operations keep the number: the server may be stopped while they wait. `project` is an absolute,
 * clean path, and copied. Finds the server or adds one that has no process yet: LIMIT, NOMEM. */
int dt_lsp_server_add(struct dt_toolbox *tb, const struct dt_lsp_language *language,
                      const char *project, uint64_t *number, struct dt_err *err) DT_MUST_CHECK;
/* LSP_SERVER_NOT_INITIALIZED. */
int dt_lsp_server_find(const struct dt_lsp_language *language, const char *project,
                       uint64_t *number, struct dt_err *err) DT_MUST_CHECK;
/* Kills the process and forgets the server; its calls and waits fail with GONE. An unknown number
 * is fine. */
void dt_lsp_server_stop(uint64_t number);
/* The same for one that has never been ready. */
void dt_lsp_server_drop(uint64_t number);

/* In the caller's memory, for as long as it waits. */
struct dt_lsp_wait {
    struct dt_lsp_wait *next;
    void (*on_ready)(void *ctx, const struct dt_err *err); /* NULL: it is ready */
    void *ctx;
};
/* Starts the process if there is none. 1: it is ready now, on_ready does not come; 0: it comes once
 * from the loop unless the wait is ended; -1: GONE, or why it cannot be started. */
int dt_lsp_server_await(uint64_t number, struct dt_lsp_wait *w, struct dt_err *err) DT_MUST_CHECK;
void dt_lsp_server_unwait(uint64_t number, const struct dt_lsp_wait *w);

/* dt_lsp_peer_call() and dt_lsp_peer_cancel() of a server that is ready. */
uint64_t dt_lsp_server_call(uint64_t number, const char *method, json_t *params,
                            uint64_t timeout_ms, dt_lsp_answer *answer, void *ctx,
                            struct dt_err *err) DT_MUST_CHECK;
void dt_lsp_server_cancel(uint64_t number, uint64_t call);

/* Makes the server see the document as `text`. It stays open until as many dt_lsp_server_hide(),
 * and, after a `keep`, until dt_lsp_server_close(). LIMIT above DT_LSP_DOCUMENTS_MAX
 * (lsp_document.h). */
int dt_lsp_server_show(uint64_t number, const char *uri, struct dt_str text, bool keep,
                       struct dt_err *err) DT_MUST_CHECK;
void dt_lsp_server_hide(uint64_t number, const char *uri);
void dt_lsp_server_close(uint64_t number, const char *uri);

#endif
