/* What language servers answer, in the one shape that the clients read. A server's value is a
 * stranger's: members of the wrong type are left out, and so is what lacks what it must have. */
#ifndef DT_TOOLBOX_LSP_RESULT_H
#define DT_TOOLBOX_LSP_RESULT_H

#include "json/json.h"

enum { DT_LSP_SYMBOLS_MAX = 10000 };

/* Appends the symbols of an answer to textDocument/documentSymbol or workspace/symbol to `list` as
 * {kind, name, location}: nested ones come flat, behind their parents, and those that name no
 * document are in `uri`. With `query` (may be NULL) only those whose name holds it, whatever the
 * case. False when some were left out because the list has DT_LSP_SYMBOLS_MAX or memory is out. */
bool dt_lsp_symbols_add(json_t *list, const json_t *result, const char *uri, const char *query);
/* {isIncomplete, items} of an answer to textDocument/completion: a list, a CompletionList or null.
 * A documentation that is a string becomes {kind: "plaintext", value}, as clients take objects
 * alone. A new tree; NULL without memory. */
json_t *dt_lsp_completions(const json_t *result);

#endif
