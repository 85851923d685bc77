/* Shell patterns for one name: `*`, `?`, `[a-z]`, `[^a-z]` or `[!a-z]`, and `\` in front of a
 * character that is meant literally. There is no `**`. Characters are UTF-8; a byte that is none
 * counts as one. */
#ifndef DT_TOOLBOX_GLOB_H
#define DT_TOOLBOX_GLOB_H

#include "base/err.h"
#include "base/str.h"

/* BAD_REQUEST names what is wrong: a `[` without its `]`, an empty or reversed range, a `\` at the
 * end. */
int dt_glob_check(struct dt_str pattern, struct dt_err *err) DT_MUST_CHECK;
/* For patterns that passed dt_glob_check(). Takes no more than pattern times name steps. */
bool dt_glob_match(struct dt_str pattern, struct dt_str name);

#endif
