/* Replacing one exact text by another, as agents edit files: only where it is clear what is meant.
 */
#ifndef DT_TOOLBOX_EDIT_H
#define DT_TOOLBOX_EDIT_H

#include "base/buf.h"

struct dt_edit {
    struct dt_str old_text; /* not empty */
    struct dt_str new_text;
    bool all; /* each occurrence, without overlap; else there must be exactly one */
};

/* Appends the edited `text` to `out` and sets *count to how often it was replaced. CONFLICT when
 * the old text is not there, or is there several times: with the lines where it begins. TOO_LARGE.
 */
int dt_edit_apply(const struct dt_edit *e, struct dt_str text, struct dt_buf *out, size_t *count,
                  struct dt_err *err) DT_MUST_CHECK;

#endif
