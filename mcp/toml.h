/*
 * Edits TOML in place, as far as our entry in an agent's file needs it: tables by their headers,
 * keys with one line each. Every byte that need not change stays.
 */
#ifndef DT_TOML_H
#define DT_TOML_H

#include "base/buf.h"

/* Sets every `key = value` of `wanted` (also TOML, only [tables] with bare keys) in `text`; tables
 * that are missing are appended. Appends the result to `out`; *changed tells whether it differs
 * from `text`. INVALID with the line number when `text` cannot be read, or when it says the same
 * thing in another form (a dotted key, an inline table, an array of tables) that cannot be edited.
 */
int dt_toml_merge(struct dt_str text, struct dt_str wanted, struct dt_buf *out, bool *changed,
                  struct dt_err *err) DT_MUST_CHECK;

#endif
