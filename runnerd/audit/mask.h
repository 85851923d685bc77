/* Texts of requests as the audit log may keep them. */
#ifndef DT_MASK_H
#define DT_MASK_H

#include "json/json.h"

enum { DT_MASK_TEXT_MAX = 4096 }; /* bytes of one text; what is behind is cut off and counted */

/* Appends `text` without the user and password of URLs in it (stars stand there), and at most
 * DT_MASK_TEXT_MAX bytes of it, whole characters. */
int dt_mask_text(struct dt_str text, struct dt_buf *out, struct dt_err *err) DT_MUST_CHECK;
/* Does that to every text in a tree but the keys. */
int dt_mask_tree(json_t *tree, struct dt_err *err) DT_MUST_CHECK;

#endif
