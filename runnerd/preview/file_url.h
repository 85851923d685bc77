/* Signed URLs of files: /files/download and /files/upload-v2 of a sandbox's toolbox, opened by the
 * signature in their query instead of a credential. */
#ifndef DT_FILE_URL_H
#define DT_FILE_URL_H

#include "runnerd/preview/preview_auth.h"

/* Whether the request (`path`: in the toolbox) comes with a signature. */
bool dt_file_url_is_signed(const struct dt_preview_ask *ask, struct dt_str path);
/* Checks it, and makes the target to send on of what was signed alone. UNAUTHORIZED says what does
 * not fit. `room` holds the target's text. */
int dt_file_url_open(const struct dt_preview_ask *ask, struct dt_str path, struct dt_buf *room,
                     struct dt_str *target, struct dt_err *err) DT_MUST_CHECK;

#endif
