/* Whether this host can give sandboxes their root file systems. */
#ifndef DT_OVERLAY_CHECK_H
#define DT_OVERLAY_CHECK_H

#include <stdint.h>

#include "base/err.h"

/* Makes one overlay the way dt_overlay_new() does for sandboxes, in `folder` of the data directory,
 * and leaves nothing of it. `base` is a range of user ids that nobody uses now. After
 * dt_userns_init() and dt_overlay_by_path(). UNSUPPORTED says what is too old, or on the wrong file
 * system, and what to do; takes about a millisecond. */
int dt_overlay_check(int folder, uint32_t base, struct dt_err *err) DT_MUST_CHECK;

#endif
