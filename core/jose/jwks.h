/*
 * The public keys of an OpenID issuer (JWK Set, RFC 7517 section 5). Each key is good for one
 * algorithm only, whatever a token says: RSA of 2,048 to 8,192 bits for RS256, P-256 for ES256.
 */
#ifndef DT_JWKS_H
#define DT_JWKS_H

#include <openssl/types.h>

#include "json/json.h"

enum dt_jws_alg { DT_JWS_RS256, DT_JWS_ES256 };

enum { DT_JWKS_KEYS_MAX = 64, DT_JWKS_TEXT_MAX = 256 * 1024 };

struct dt_jwk {
    char *kid; /* may be NULL */
    enum dt_jws_alg alg;
    EVP_PKEY *key;
};

struct dt_jwks {
    struct dt_jwk keys[DT_JWKS_KEYS_MAX];
    size_t n;
};

/* Keys for other uses and algorithms are left out; a set without any key of ours is fine. INVALID:
 * no JWK Set, or one of our keys is malformed. The caller owns *ret. */
int dt_jwks_parse(struct dt_str text, struct dt_jwks **ret, struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine. Returns NULL. */
struct dt_jwks *dt_jwks_free(struct dt_jwks *s);
DT_DEFINE_AUTO(struct dt_jwks *, dt_jwks_free)

#endif
