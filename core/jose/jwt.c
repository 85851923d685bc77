#include "jose/jwt.h"

#include <math.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/base64.h"

enum {
    HEADER_MAX = 4096,
    SIGNATURE_MAX = 1024 + 2, /* of 8,192 bits */
    DEPTH_MAX = 16,
    P256_SIGNATURE = 64,
};

struct parts {
    struct dt_str header, payload, signature;
    struct dt_str signed_part; /* header and payload with their dot */
};

static int refuse(struct dt_err *err, const char *why)
{
    return dt_err_set(err, DT_E_UNAUTHORIZED, "Invalid access token: %s", why);
}

static int split(struct dt_str token, struct parts *p, struct dt_err *err)
{
    struct dt_str rest = token;
    if (token.n > DT_JWT_MAX)
        return refuse(err, "it is too long");
    if (!dt_str_cut(&rest, '.', &p->header) || !dt_str_cut(&rest, '.', &p->payload) ||
        rest.p == NULL || memchr(rest.p, '.', rest.n) != NULL || p->header.n == 0 ||
        p->payload.n == 0)
        return refuse(err, "it has not three parts");
    p->signature = rest;
    p->signed_part = dt_str(token.p, (size_t)(rest.p - 1 - token.p));
    return 0;
}

bool dt_jwt_shaped(struct dt_str token)
{
    struct parts p;
    return dt_str_starts(token, DT_STR("ey")) && split(token, &p, NULL) == 0;
}

/* An object in base64url. */
static json_t *object_of(struct dt_str text, size_t max)
{
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, max);
    if (dt_base64url_decode(&b, text, NULL) < 0)
        return NULL;
    json_t *j = dt_json_parse(dt_buf_str(&b), DEPTH_MAX, NULL);
    if (json_is_object(j))
        return j;
    json_decref(j);
    return NULL;
}

/* --- the header --- */

static bool is_access_token(const char *type)
{
    static const char *const types[] = {"JWT", "at+jwt", "application/at+jwt"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (dt_str_eq_nocase(dt_str_z(type), dt_str_z(types[i])))
            return true;
    }
    return false;
}

static int read_header(const json_t *header, enum dt_jws_alg *alg, const char **kid,
                       struct dt_err *err)
{
    const char *name = dt_json_text(header, "alg", "");
    const json_t *type = json_object_get(header, "typ"), *id = json_object_get(header, "kid");
    if (strcmp(name, "RS256") != 0 && strcmp(name, "ES256") != 0)
        return refuse(err, "it must be signed with RS256 or ES256");
    if (json_object_get(header, "crit") != NULL)
        return refuse(err, "it asks for extensions (crit)");
    if (type != NULL && (!json_is_string(type) || !is_access_token(json_string_value(type))))
        return refuse(err, "it is of another type");
    if (id != NULL && !json_is_string(id))
        return refuse(err, "its key id is no text");
    *alg = strcmp(name, "RS256") == 0 ? DT_JWS_RS256 : DT_JWS_ES256;
    *kid = json_string_value(id);
    return 0;
}

/* Without a key id there must be one key of the algorithm alone. */
static int find_key(const struct dt_jwks *keys, enum dt_jws_alg alg, const char *kid,
                    const struct dt_jwk **ret, struct dt_err *err)
{
    const struct dt_jwk *found = NULL;
    bool known = false;
    for (size_t i = 0; i < keys->n; i++) {
        const struct dt_jwk *k = &keys->keys[i];
        bool same = kid == NULL || (k->kid != NULL && strcmp(k->kid, kid) == 0);
        known = known || same;
        if (!same || k->alg != alg)
            continue;
        if (found != NULL)
            return refuse(err, "it does not say which key it is signed with");
        found = k;
    }
    if (!known)
        return dt_err_set(err, DT_E_NOT_FOUND,
                          "Invalid access token: it is signed with an unknown key");
    if (found == NULL)
        return refuse(err, "its algorithm is not that of its key");
    *ret = found;
    return 0;
}

/* --- the signature --- */

/* The two numbers of a P-256 signature in the form that OpenSSL wants. */
static int to_der(const struct dt_buf *raw, struct dt_buf *der)
{
    const unsigned char *p = (const unsigned char *)raw->p;
    unsigned char *out = NULL;
    if (raw->n != P256_SIGNATURE)
        return -1;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, P256_SIGNATURE / 2, NULL);
    BIGNUM *s = BN_bin2bn(p + P256_SIGNATURE / 2, P256_SIGNATURE / 2, NULL);
    int n = -1;
    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* the signature's now */
        n = i2d_ECDSA_SIG(sig, &out);
    }
    int result = n > 0 ? dt_buf_add(der, out, (size_t)n, NULL) : -1;
    OPENSSL_free(out);
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return result;
}

static bool signature_fits(const struct dt_jwk *k, const struct parts *p)
{
    DT_AUTO_BUF struct dt_buf raw, der;
    dt_buf_init(&raw, SIGNATURE_MAX);
    dt_buf_init(&der, 2 * P256_SIGNATURE);
    if (dt_base64url_decode(&raw, p->signature, NULL) < 0 || raw.n == 0 ||
        (k->alg == DT_JWS_ES256 && to_der(&raw, &der) < 0))
        return false;
    const struct dt_buf *sig = k->alg == DT_JWS_ES256 ? &der : &raw;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool fits = c != NULL && EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, k->key) == 1 &&
                EVP_DigestVerify(c, (const unsigned char *)sig->p, sig->n,
                                 (const unsigned char *)p->signed_part.p, p->signed_part.n) == 1;
    EVP_MD_CTX_free(c);
    ERR_clear_error();
    return fits;
}

/* --- the claims --- */

static bool has_audience(const json_t *aud, const char *want)
{
    if (json_is_string(aud))
        return strcmp(json_string_value(aud), want) == 0;
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const char *one = json_string_value(json_array_get(aud, i));
        if (one != NULL && strcmp(one, want) == 0)
            return true;
    }
    return false;
}

static int check_times(const json_t *claims, const struct dt_jwt_rules *rules, struct dt_err *err)
{
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");
    double now = (double)rules->now_s, leeway = (double)rules->leeway_s;
    if (!json_is_number(exp))
        return refuse(err, "it does not say when it ends");
    if (!(json_number_value(exp) + leeway > now))
        return refuse(err, "it is expired");
    if (nbf != NULL && (!json_is_number(nbf) || !(json_number_value(nbf) - leeway <= now)))
        return refuse(err, "it is not valid yet");
    return 0;
}

static int check_subject(const json_t *claims, struct dt_err *err)
{
    const json_t *sub = json_object_get(claims, "sub");
    size_t n = json_string_length(sub);
    if (!json_is_string(sub) || n == 0 || n > DT_JWT_SUBJECT_MAX ||
        strlen(json_string_value(sub)) != n)
        return refuse(err, "it does not say whose it is");
    return 0;
}

static int check_claims(const json_t *claims, const struct dt_jwt_rules *rules, struct dt_err *err)
{
    const char *iss = dt_json_text(claims, "iss", "");
    if (strcmp(iss, rules->issuer) != 0)
        return refuse(err, "it is of another issuer");
    if (!has_audience(json_object_get(claims, "aud"), rules->audience))
        return refuse(err, "it is for another audience");
    if (check_times(claims, rules, err) < 0)
        return -1;
    return check_subject(claims, err);
}

int dt_jwt_check(const struct dt_jwks *keys, struct dt_str token, const struct dt_jwt_rules *rules,
                 json_t **ret, struct dt_err *err)
{
    struct parts p;
    enum dt_jws_alg alg = DT_JWS_RS256;
    const char *kid = NULL;
    const struct dt_jwk *key = NULL;
    if (split(token, &p, err) < 0)
        return -1;
    DT_AUTO_JSON json_t *header = object_of(p.header, HEADER_MAX);
    if (header == NULL)
        return refuse(err, "its header is no JSON object");
    if (read_header(header, &alg, &kid, err) < 0 || find_key(keys, alg, kid, &key, err) < 0)
        return -1;
    if (!signature_fits(key, &p))
        return refuse(err, "its signature is wrong");
    DT_AUTO_JSON json_t *claims = object_of(p.payload, DT_JWT_MAX);
    if (claims == NULL)
        return refuse(err, "its claims are no JSON object");
    if (check_claims(claims, rules, err) < 0)
        return -1;
    *ret = dt_take(claims);
    return 0;
}
