/* Whether the user that a request named is in the image. Only the toolbox can look, and it ends at
 * once when there is none: its first answer tells. */
#ifndef DT_NAMED_USER_H
#define DT_NAMED_USER_H

#include "runnerd/runnerd.h"
#include "runnerd/store.h"

/* Exactly once, never from inside the call that took it. NULL: it is there. BAD_REQUEST: it is not.
 * UNREACHABLE: the toolbox does not answer. CANCELLED: the program ends. */
typedef void dt_named_user_done(void *ctx, const struct dt_err *err);

/* Whether there is anything to ask: the request named a user other than root. */
bool dt_named_user_is_set(const struct dt_sandbox_row *row);
/* Of a sandbox that the launcher has started; at most 10 s. `row` is borrowed until `done`. */
int dt_named_user_ask(struct dt_runnerd *rd, const struct dt_sandbox_row *row,
                      dt_named_user_done *done, void *ctx, struct dt_err *err) DT_MUST_CHECK;

#endif
