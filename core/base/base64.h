/* Base64 (RFC 4648 section 4), with padding. */
#ifndef DT_BASE64_H
#define DT_BASE64_H

#include "base/buf.h"

int dt_base64_encode(struct dt_buf *out, const void *p, size_t n, struct dt_err *err) DT_MUST_CHECK;
/* White space between characters is ignored; padding may be left out; anything else outside the
 * alphabet, or bits left over, is INVALID. */
int dt_base64_decode(struct dt_buf *out, struct dt_str s, struct dt_err *err) DT_MUST_CHECK;

/* The alphabet of RFC 4648 section 5 without padding, as tokens use it; nothing else is accepted.
 */
int dt_base64url_decode(struct dt_buf *out, struct dt_str s, struct dt_err *err) DT_MUST_CHECK;

#endif
