/* Documents by path and by URI (RFC 8089), each in the one spelling that servers keep them by. */
#ifndef DT_TOOLBOX_LSP_URI_H
#define DT_TOOLBOX_LSP_URI_H

#include "toolbox/guest.h"

/* Takes `.`, `..`, doubled and closing slashes out of an absolute path, in place and by its text
 * alone: a link is kept, as the client named it. */
void dt_lsp_path_clean(char *path);
/* The absolute, clean path of a client's URI: `file://` and a path that the official clients do
 * not encode and that may be relative to the work dir, or a path alone. Escapes in it are decoded
 * when no file has its name as it stands. INVALID_FILE_PATH. free() the result. */
char *dt_lsp_uri_path(const struct dt_guest *g, const char *uri, struct dt_err *err);
/* The same of a document. One that is relative and not there is looked for in the project, too: the
 * clients' documentation says the one and shows the other. */
char *dt_lsp_document_path(const struct dt_guest *g, const char *project, const char *uri,
                           struct dt_err *err);
/* file:// and the path, percent-encoded. NULL without memory; free() it. */
char *dt_lsp_path_uri(const char *path);

#endif
