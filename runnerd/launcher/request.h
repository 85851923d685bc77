/* Whether a request frame is one that daytona-runnerd could have sent. */
#ifndef DT_LAUNCHER_REQUEST_H
#define DT_LAUNCHER_REQUEST_H

#include <stdbool.h>

#include "base/err.h"
#include "runnerd/launcher/wire.h"

/* Checks every field against the ranges of wire.h, and that fields which the op does not use are
 * zero. `greeted`: HELLO was done. INVALID says what is wrong; the connection then ends. */
int dt_request_check(const struct dt_lw_request *r, bool greeted, bool has_fd,
                     struct dt_err *err) DT_MUST_CHECK;

#endif
