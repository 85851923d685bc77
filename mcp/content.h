/* What the bytes of a file are, as far as a client must know to show them. */
#ifndef DT_CONTENT_H
#define DT_CONTENT_H

#include "base/str.h"

/* The type of an image that clients can show (png, jpeg, gif, webp), by its first bytes; else NULL.
 */
const char *dt_content_image(struct dt_str bytes);
/* Whether it is text: UTF-8 without NUL. Where the bytes do not reach to an end of the file, a
 * character cut there does not count; *text is what lies between. */
bool dt_content_text(struct dt_str bytes, bool from_start, bool to_end, struct dt_str *text);

#endif
