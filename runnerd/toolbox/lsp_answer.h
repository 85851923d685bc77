/* What language servers ask of their client. */
#ifndef DT_TOOLBOX_LSP_ANSWER_H
#define DT_TOOLBOX_LSP_ANSWER_H

#include "json/json.h"

/* The result of the server's own request: a new value; NULL for a method that no client of ours
 * has. `root_uri` is its only workspace folder. */
json_t *dt_lsp_answer_make(const char *method, const json_t *params, const char *root_uri);

#endif
