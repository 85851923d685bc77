/*
 * Signed tokens (JWT, RFC 7519, in the compact form of JWS, RFC 7515), checked as RFC 8725 asks:
 * the algorithm is that of the key and never the token's choice, issuer and audience are pinned,
 * the end is required, and nothing of a token is believed or followed before its signature fits.
 */
#ifndef DT_JWT_H
#define DT_JWT_H

#include "jose/jwks.h"

enum {
    DT_JWT_MAX = 16 * 1024, /* bytes of a token */
    DT_JWT_SUBJECT_MAX = 255,
};

struct dt_jwt_rules {
    const char *issuer;
    const char *audience;
    int64_t now_s;
    int64_t leeway_s; /* how far clocks may differ */
};

/* Three parts with a dot between them, the first one the beginning of a JSON object: no key of ours
 * looks like that. */
bool dt_jwt_shaped(struct dt_str token);
/* UNAUTHORIZED says what is wrong with it. NOT_FOUND: signed with a key that is not in the set. On
 * success *claims is the payload, an object with a `sub` of 1 to 255 bytes; the caller owns it. */
int dt_jwt_check(const struct dt_jwks *keys, struct dt_str token, const struct dt_jwt_rules *rules,
                 json_t **claims, struct dt_err *err) DT_MUST_CHECK;

#endif
