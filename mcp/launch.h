/* Starts a local daytona-runnerd in the background: it outlives us and ends by itself when idle. */
#ifndef DT_LAUNCH_H
#define DT_LAUNCH_H

#include <stdbool.h>
#include <uv.h>

#include "base/err.h"

struct dt_launch;

/* Detached, with its output in dt_launch_log()'s file. Fails when the program is not beside ours.
 */
int dt_launch_runnerd(uv_loop_t *loop, struct dt_launch **ret, struct dt_err *err) DT_MUST_CHECK;
/* Whether it ended already; fills `err` then. Not when another one was faster: its socket is about
 * to open. */
bool dt_launch_failed(const struct dt_launch *l, struct dt_err *err);
/* Lets go of it; it goes on running. NULL is fine. Returns NULL. */
struct dt_launch *dt_launch_release(struct dt_launch *l);
/* Where to look when it does not start. */
const char *dt_launch_log(void);

#endif
