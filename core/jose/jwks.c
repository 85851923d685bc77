#include "jose/jwks.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/base64.h"

enum {
    DEPTH_MAX = 8,
    COORDINATE = 32, /* bytes of a P-256 coordinate */
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8192,
    EXPONENT_BITS_MAX = 32,
};

struct dt_jwks *dt_jwks_free(struct dt_jwks *s)
{
    if (s == NULL)
        return NULL;
    for (size_t i = 0; i < s->n; i++) {
        free(s->keys[i].kid);
        EVP_PKEY_free(s->keys[i].key);
    }
    free(s);
    return NULL;
}

/* A member in base64url; -1 when it is missing or malformed. */
static int bytes(const json_t *jwk, const char *name, struct dt_buf *out)
{
    const char *text = dt_json_text(jwk, name, NULL);
    dt_buf_init(out, RSA_BITS_MAX / 8 + 8);
    return text == NULL ? -1 : dt_base64url_decode(out, dt_str_z(text), NULL);
}

/* The key of a list of parameters, which it frees; NULL when they make none. */
static EVP_PKEY *key_of(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = build != NULL ? OSSL_PARAM_BLD_to_param(build) : NULL;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || c == NULL || EVP_PKEY_fromdata_init(c) != 1 ||
        EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(c);
    OSSL_PARAM_free(params);
    ERR_clear_error();
    return key;
}

static EVP_PKEY *rsa_key(const json_t *jwk)
{
    DT_AUTO_BUF struct dt_buf n, e;
    int good = bytes(jwk, "n", &n) == 0;
    good = bytes(jwk, "e", &e) == 0 && good;
    if (!good || n.n == 0 || e.n == 0)
        return NULL;
    BIGNUM *bn = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL);
    BIGNUM *be = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (bn != NULL && be != NULL && build != NULL && BN_num_bits(bn) >= RSA_BITS_MIN &&
        BN_num_bits(bn) <= RSA_BITS_MAX && BN_is_odd(bn) && BN_is_odd(be) && !BN_is_one(be) &&
        BN_num_bits(be) <= EXPONENT_BITS_MAX &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, be) == 1)
        key = key_of("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(bn);
    BN_free(be);
    return key;
}

/* Also checks that the point is on the curve. */
static EVP_PKEY *ec_key(const json_t *jwk)
{
    DT_AUTO_BUF struct dt_buf x, y;
    int good = bytes(jwk, "x", &x) == 0;
    good = bytes(jwk, "y", &y) == 0 && good;
    if (!good || x.n != COORDINATE || y.n != COORDINATE)
        return NULL;
    unsigned char point[1 + 2 * COORDINATE] = {POINT_CONVERSION_UNCOMPRESSED};
    memcpy(point + 1, x.p, COORDINATE);
    memcpy(point + 1 + COORDINATE, y.p, COORDINATE);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (build != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) == 1)
        key = key_of("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static bool is_text(const json_t *jwk, const char *name, const char *want)
{
    const char *have = dt_json_text(jwk, name, NULL);
    return have != NULL && strcmp(have, want) == 0;
}

/* Absent, or what we would have it be. */
static bool allows(const json_t *jwk, const char *name, const char *want)
{
    return json_object_get(jwk, name) == NULL || is_text(jwk, name, want);
}

static bool may_verify(const json_t *jwk)
{
    const json_t *ops = json_object_get(jwk, "key_ops");
    bool found = ops == NULL;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const char *op = json_string_value(json_array_get(ops, i));
        found = found || (op != NULL && strcmp(op, "verify") == 0);
    }
    return found && allows(jwk, "use", "sig");
}

static int add(struct dt_jwks *s, const json_t *jwk, struct dt_err *err)
{
    bool rsa = is_text(jwk, "kty", "RSA") && allows(jwk, "alg", "RS256");
    bool ec =
        is_text(jwk, "kty", "EC") && is_text(jwk, "crv", "P-256") && allows(jwk, "alg", "ES256");
    const char *kid = dt_json_text(jwk, "kid", NULL);
    if ((!rsa && !ec) || !may_verify(jwk))
        return 0;
    if (s->n == DT_JWKS_KEYS_MAX)
        return dt_err_set(err, DT_E_INVALID, "the issuer's key set has more than %d keys",
                          DT_JWKS_KEYS_MAX);
    struct dt_jwk *k = &s->keys[s->n];
    k->alg = rsa ? DT_JWS_RS256 : DT_JWS_ES256;
    k->key = rsa ? rsa_key(jwk) : ec_key(jwk);
    if (k->key == NULL)
        return dt_err_set(err, DT_E_INVALID, "the issuer's key '%.64s' is no %s",
                          kid != NULL ? kid : "",
                          rsa ? "RSA key of 2,048 to 8,192 bits" : "P-256 key");
    s->n++;
    if (kid != NULL && (k->kid = strdup(kid)) == NULL)
        return dt_err_set(err, DT_E_NOMEM, "the issuer's keys");
    return 0;
}

int dt_jwks_parse(struct dt_str text, struct dt_jwks **ret, struct dt_err *err)
{
    DT_AUTO(dt_jwks_free) struct dt_jwks *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return dt_err_set(err, DT_E_NOMEM, "the issuer's keys");
    if (text.n > DT_JWKS_TEXT_MAX)
        return dt_err_set(err, DT_E_INVALID, "the issuer's key set is too long");
    DT_AUTO_JSON json_t *set = dt_json_parse(text, DEPTH_MAX, err);
    if (set == NULL)
        return dt_err_wrap(err, "the issuer's key set");
    const json_t *keys = json_object_get(set, "keys");
    if (!json_is_array(keys))
        return dt_err_set(err, DT_E_INVALID, "the issuer's key set has no list of keys");
    for (size_t i = 0; i < json_array_size(keys); i++) {
        if (add(s, json_array_get(keys, i), err) < 0)
            return -1;
    }
    *ret = dt_take(s);
    return 0;
}
