/*
 * Edits JSON with comments (//, slash-star, trailing commas, a byte order mark) in place: every
 * byte that need not change stays as it is, so comments, order and layout survive.
 */
#ifndef DT_JSONC_H
#define DT_JSONC_H

#include "json/json.h"

/* Sets every member of `wanted` (an object) in `text`: objects are merged, everything else is
 * replaced when it differs. New members take the layout around them. Appends the result to `out`;
 * *changed tells whether it differs from `text`. White space alone counts as {}. INVALID with the
 * line number when `text` cannot be parsed or something else stands where an object is wanted;
 * limits: 64 levels. */
int dt_jsonc_merge(struct dt_str text, const json_t *wanted, struct dt_buf *out, bool *changed,
                   struct dt_err *err) DT_MUST_CHECK;

#endif
