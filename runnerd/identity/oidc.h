/*
 * The OpenID issuer whose access tokens are accepted: where its keys are (OpenID Connect Discovery
 * 1.0), the keys, and when to ask for them again. They are fetched on the loop when a token needs
 * them; nothing but tokens waits for the issuer. Loop only.
 *
 * Keys older than ten minutes are fetched anew while the old ones go on for an hour at most; a
 * token signed with an unknown key makes us ask, at most every ten seconds.
 */
#ifndef DT_OIDC_H
#define DT_OIDC_H

#include <uv.h>

#include "gen/config_runnerd.h"

struct dt_oidc;

enum { DT_OIDC_LEEWAY_S = 30 }; /* how far our clock and the issuer's may differ */

/* *ret is NULL when the settings name no issuer. INVALID: they name one that is no URL, or no
 * audience. */
int dt_oidc_new(uv_loop_t *loop, const struct dt_config_runnerd *config, struct dt_oidc **ret,
                struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine. Who waits is told. Returns NULL; the loop must run once more afterwards. */
struct dt_oidc *dt_oidc_free(struct dt_oidc *o);

/* The claims of a token (jose/jwt.h), owned by the caller. UNAUTHORIZED; UNAVAILABLE when the
 * issuer cannot be asked. 1: it takes dt_oidc_wait() first. NULL `o`: UNAUTHORIZED. */
int dt_oidc_check(struct dt_oidc *o, struct dt_str token, json_t **claims,
                  struct dt_err *err) DT_MUST_CHECK;
/* `done` comes exactly once, never from inside, when keys have come or not. At most 15 seconds. */
int dt_oidc_wait(struct dt_oidc *o, void (*done)(void *ctx), void *ctx,
                 struct dt_err *err) DT_MUST_CHECK;

#endif
