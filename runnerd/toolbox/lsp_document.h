/* The documents that a language server has been told of: each with as many users as are working
 * with it, and open for as long as it has one or was kept. */
#ifndef DT_TOOLBOX_LSP_DOCUMENT_H
#define DT_TOOLBOX_LSP_DOCUMENT_H

#include "toolbox/lsp_peer.h"

enum { DT_LSP_DOCUMENTS_MAX = 256 };

/* Zeroed at first. */
struct dt_lsp_document;
struct dt_lsp_documents {
    struct dt_lsp_document *first;
    unsigned count;
};

void dt_lsp_documents_done(struct dt_lsp_documents *all);
/* The server has ended: the next one knows of none. */
void dt_lsp_documents_lost(struct dt_lsp_documents *all);

/* Makes `peer` see the document as `text` and counts a user more; `keep`: until it is closed, too.
 * `language`: what it is in when its name does not tell. LIMIT above DT_LSP_DOCUMENTS_MAX, NOMEM,
 * and what sending fails with; then nothing has changed. */
int dt_lsp_document_show(struct dt_lsp_documents *all, struct dt_lsp_peer *peer,
                         const char *language, const char *uri, struct dt_str text, bool keep,
                         struct dt_err *err) DT_MUST_CHECK;
/* A user less; the server is told when it was the last. `peer` NULL: nobody can be told. An unknown
 * uri is fine, for both. */
void dt_lsp_document_hide(struct dt_lsp_documents *all, struct dt_lsp_peer *peer, const char *uri);
void dt_lsp_document_close(struct dt_lsp_documents *all, struct dt_lsp_peer *peer, const char *uri);

#endif
