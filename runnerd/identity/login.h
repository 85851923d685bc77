/* Access tokens to users: who has one becomes a user at first sight, with a personal organization.
 * Loop only. */
#ifndef DT_LOGIN_H
#define DT_LOGIN_H

#include "runnerd/runnerd.h"

/* *user is borrowed from the directory, *expires_ms is when it will be refused (0 = never).
 * UNAUTHORIZED, UNAVAILABLE; 1: it takes dt_login_wait() first. */
int dt_login_check(struct dt_runnerd *rd, struct dt_str token, const struct dt_user **user,
                   int64_t *expires_ms, struct dt_err *err) DT_MUST_CHECK;
/* Gets what is missing: the issuer's keys, the user's row. `done` comes exactly once, never from
 * inside; then dt_login_check() says what came of it, and who still has to wait gives up. */
int dt_login_wait(struct dt_runnerd *rd, struct dt_str token, void (*done)(void *ctx), void *ctx,
                  struct dt_err *err) DT_MUST_CHECK;

#endif
