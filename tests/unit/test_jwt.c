#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "base/base64.h"
#include "jose/jwt.h"

#define ISSUER   "https://issuer.example"
#define AUDIENCE "daytona"
#define NOW      1761912000

/* Made once: an RSA and a P-256 key that the set has, and one of each that it has not. */
static EVP_PKEY *rsa, *ec, *other_rsa, *other_ec, *short_rsa;
static struct dt_jwks *keys;

static const struct dt_jwt_rules rules = {
    .issuer = ISSUER, .audience = AUDIENCE, .now_s = NOW, .leeway_s = 30};

/* --- making what an issuer makes --- */

static void add_url(struct dt_buf *out, const void *p, size_t n)
{
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 64 * 1024);
    assert_int_equal(dt_base64_encode(&b, p, n, NULL), 0);
    while (b.n > 0 && b.p[b.n - 1] == '=')
        b.n--;
    for (size_t i = 0; i < b.n; i++)
        b.p[i] = b.p[i] == '+' ? '-' : b.p[i] == '/' ? '_' : b.p[i];
    assert_int_equal(dt_buf_adds(out, dt_buf_str(&b), NULL), 0);
}

static void add_number(struct dt_buf *out, EVP_PKEY *key, const char *param, size_t width)
{
    BIGNUM *n = NULL;
    unsigned char bytes[1024];
    assert_int_equal(EVP_PKEY_get_bn_param(key, param, &n), 1);
    int size = width > 0 ? BN_bn2binpad(n, bytes, (int)width) : BN_bn2bin(n, bytes);
    assert_true(size > 0);
    add_url(out, bytes, (size_t)size);
    BN_free(n);
}

static void add_rsa_jwk(struct dt_buf *out, EVP_PKEY *key, const char *kid, const char *rest)
{
    assert_int_equal(dt_buf_addf(out, NULL, "{\"kty\":\"RSA\",\"kid\":\"%s\",\"n\":\"", kid), 0);
    add_number(out, key, OSSL_PKEY_PARAM_RSA_N, 0);
    assert_int_equal(dt_buf_addz(out, "\",\"e\":\"", NULL), 0);
    add_number(out, key, OSSL_PKEY_PARAM_RSA_E, 0);
    assert_int_equal(dt_buf_addf(out, NULL, "\"%s}", rest), 0);
}

static void add_ec_jwk(struct dt_buf *out, EVP_PKEY *key, const char *kid, const char *rest)
{
    assert_int_equal(
        dt_buf_addf(out, NULL, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s\",\"x\":\"", kid),
        0);
    add_number(out, key, OSSL_PKEY_PARAM_EC_PUB_X, 32);
    assert_int_equal(dt_buf_addz(out, "\",\"y\":\"", NULL), 0);
    add_number(out, key, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
    assert_int_equal(dt_buf_addf(out, NULL, "\"%s}", rest), 0);
}

static size_t sign(EVP_PKEY *key, struct dt_str text, const EVP_MD *md, unsigned char *out,
                   size_t size)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(c, NULL, md, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(c, out, &size, (const unsigned char *)text.p, text.n), 1);
    EVP_MD_CTX_free(c);
    return size;
}

/* As JWS has it: the two numbers behind each other. */
static size_t sign_ec(EVP_PKEY *key, struct dt_str text, unsigned char out[64])
{
    unsigned char der[128];
    const unsigned char *p = der;
    size_t n = sign(key, text, EVP_sha256(), der, sizeof(der));
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    assert_non_null(sig);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32), 32);
    ECDSA_SIG_free(sig);
    return 64;
}

enum how { BY_RSA, BY_EC, BY_OTHER_RSA, BY_OTHER_EC, BY_DER, BY_SHA512, BY_PUBLIC_KEY, BY_NOBODY };

/* What goes wrong in libraries that let the token choose: HMAC with the public key as the secret.
 */
static size_t sign_with_public_key(struct dt_str text, unsigned char *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    unsigned n = 0;
    assert_int_equal(PEM_write_bio_PUBKEY(bio, rsa), 1);
    long size = BIO_get_mem_data(bio, &pem);
    assert_non_null(
        HMAC(EVP_sha256(), pem, (int)size, (const unsigned char *)text.p, text.n, out, &n));
    BIO_free(bio);
    return n;
}

static void make_token(struct dt_buf *out, const char *header, const char *claims, enum how how)
{
    unsigned char sig[1024];
    size_t n = 0;
    add_url(out, header, strlen(header));
    assert_int_equal(dt_buf_addz(out, ".", NULL), 0);
    add_url(out, claims, strlen(claims));
    struct dt_str text = dt_buf_str(out);
    switch (how) {
    case BY_RSA:
        n = sign(rsa, text, EVP_sha256(), sig, sizeof(sig));
        break;
    case BY_OTHER_RSA:
        n = sign(other_rsa, text, EVP_sha256(), sig, sizeof(sig));
        break;
    case BY_SHA512:
        n = sign(rsa, text, EVP_sha512(), sig, sizeof(sig));
        break;
    case BY_EC:
        n = sign_ec(ec, text, sig);
        break;
    case BY_OTHER_EC:
        n = sign_ec(other_ec, text, sig);
        break;
    case BY_DER:
        n = sign(ec, text, EVP_sha256(), sig, sizeof(sig));
        break;
    case BY_PUBLIC_KEY:
        n = sign_with_public_key(text, sig);
        break;
    case BY_NOBODY:
        break;
    }
    assert_int_equal(dt_buf_addz(out, ".", NULL), 0);
    add_url(out, sig, n);
}

/* --- tokens --- */

#define RS        "{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"at+jwt\"}"
#define ES        "{\"alg\":\"ES256\",\"kid\":\"e\"}"
#define CLAIMS(x) "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"sub\":\"alice\"" x "}"
#define GOOD      CLAIMS(",\"exp\":1761912060")

static const struct {
    const char *header, *claims;
    enum how how;
    const char *error; /* NULL: it is good */
} rows[] = {
    {RS, GOOD, BY_RSA, NULL},
    {ES, GOOD, BY_EC, NULL},
    {"{\"alg\":\"RS256\"}", GOOD, BY_RSA, NULL}, /* the only key of that algorithm */
    {"{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"jwt\"}", GOOD, BY_RSA, NULL},
    {RS, "{\"iss\":\"" ISSUER "\",\"aud\":[\"x\",\"daytona\"],\"sub\":\"alice\",\"exp\":1.8e9}",
     BY_RSA, NULL},
    {RS, CLAIMS(",\"exp\":1761911971,\"nbf\":1761912030"), BY_RSA, NULL}, /* within the leeway */
    /* algorithms */
    {"{\"alg\":\"none\"}", GOOD, BY_NOBODY, "RS256 or ES256"},
    {"{\"alg\":\"NONE\",\"kid\":\"r\"}", GOOD, BY_NOBODY, "RS256 or ES256"},
    {"{\"alg\":\"HS256\",\"kid\":\"r\"}", GOOD, BY_PUBLIC_KEY, "RS256 or ES256"},
    {"{\"alg\":\"RS512\",\"kid\":\"r\"}", GOOD, BY_SHA512, "RS256 or ES256"},
    {"{\"alg\":7,\"kid\":\"r\"}", GOOD, BY_RSA, "RS256 or ES256"},
    {"{\"kid\":\"r\"}", GOOD, BY_RSA, "RS256 or ES256"},
    {"{\"alg\":\"ES256\",\"kid\":\"r\"}", GOOD, BY_EC, "not that of its key"},
    {"{\"alg\":\"RS256\",\"kid\":\"e\"}", GOOD, BY_RSA, "not that of its key"},
    /* headers */
    {"{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[\"exp\"],\"exp\":1}", GOOD, BY_RSA, "crit"},
    {"{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"logout+jwt\"}", GOOD, BY_RSA, "another type"},
    {"{\"alg\":\"RS256\",\"kid\":7}", GOOD, BY_RSA, "no text"},
    {"{\"alg\":\"RS256\",\"alg\":\"none\"}", GOOD, BY_RSA, "header is no JSON object"},
    {"[\"RS256\"]", GOOD, BY_RSA, "header is no JSON object"},
    {"{\"alg\":\"RS256\",\"kid\":\"new\"}", GOOD, BY_RSA, "unknown key"},
    /* signatures */
    {RS, GOOD, BY_OTHER_RSA, "signature is wrong"},
    {RS, GOOD, BY_SHA512, "signature is wrong"},
    {RS, GOOD, BY_NOBODY, "signature is wrong"},
    {RS, GOOD, BY_EC, "signature is wrong"},
    {ES, GOOD, BY_OTHER_EC, "signature is wrong"},
    {ES, GOOD, BY_DER, "signature is wrong"},
    {ES, GOOD, BY_RSA, "signature is wrong"},
    {ES, GOOD, BY_NOBODY, "signature is wrong"},
    /* claims */
    {RS, "{\"iss\":\"https://issuer.example/\",\"aud\":\"daytona\",\"sub\":\"a\",\"exp\":1.8e9}",
     BY_RSA, "another issuer"},
    {RS, "{\"aud\":\"daytona\",\"sub\":\"a\",\"exp\":1.8e9}", BY_RSA, "another issuer"},
    {RS, "{\"iss\":\"" ISSUER "\",\"aud\":\"other\",\"sub\":\"a\",\"exp\":1.8e9}", BY_RSA,
     "another audience"},
    {RS, "{\"iss\":\"" ISSUER "\",\"aud\":[\"other\",7],\"sub\":\"a\",\"exp\":1.8e9}", BY_RSA,
     "another audience"},
    {RS, "{\"iss\":\"" ISSUER "\",\"sub\":\"a\",\"exp\":1.8e9}", BY_RSA, "another audience"},
    {RS, CLAIMS(",\"exp\":1761911970"), BY_RSA, "expired"},
    {RS, CLAIMS(",\"exp\":-1"), BY_RSA, "expired"},
    {RS, CLAIMS(""), BY_RSA, "when it ends"},
    {RS, CLAIMS(",\"exp\":\"1800000000\""), BY_RSA, "when it ends"},
    {RS, CLAIMS(",\"exp\":1.8e9,\"nbf\":1761912031"), BY_RSA, "not valid yet"},
    {RS, CLAIMS(",\"exp\":1.8e9,\"nbf\":\"x\""), BY_RSA, "not valid yet"},
    {RS, "{\"iss\":\"" ISSUER "\",\"aud\":\"daytona\",\"exp\":1.8e9}", BY_RSA, "whose it is"},
    {RS, "{\"iss\":\"" ISSUER "\",\"aud\":\"daytona\",\"sub\":\"\",\"exp\":1.8e9}", BY_RSA,
     "whose it is"},
    {RS, "{\"iss\":\"" ISSUER "\",\"aud\":\"daytona\",\"sub\":\"a\\u0000b\",\"exp\":1.8e9}", BY_RSA,
     "whose it is"},
    {RS, "not JSON", BY_RSA, "claims are no JSON object"},
    {RS, "[]", BY_RSA, "claims are no JSON object"},
};

static void test_tokens(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        DT_AUTO_BUF struct dt_buf token;
        dt_buf_init(&token, DT_JWT_MAX);
        make_token(&token, rows[i].header, rows[i].claims, rows[i].how);
        DT_AUTO_JSON json_t *claims = NULL;
        struct dt_err err = {0};
        int got = dt_jwt_check(keys, dt_buf_str(&token), &rules, &claims, &err);
        if (rows[i].error == NULL) {
            assert_int_equal(got, 0);
            assert_string_equal(dt_json_text(claims, "sub", ""), "alice");
            continue;
        }
        assert_int_equal(got, -1);
        assert_null(claims);
        if (strstr(err.msg, rows[i].error) == NULL)
            fail_msg("row %zu: '%s' instead of '%s'", i, err.msg, rows[i].error);
        bool unknown = strstr(rows[i].error, "unknown") != NULL;
        assert_int_equal(err.code, unknown ? DT_E_NOT_FOUND : DT_E_UNAUTHORIZED);
    }
}

/* Every change of one character is noticed, and so are cuts and additions. */
static void test_damage(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf token;
    dt_buf_init(&token, DT_JWT_MAX);
    make_token(&token, ES, GOOD, BY_EC);
    for (size_t i = 0; i < token.n; i++) {
        DT_AUTO_JSON json_t *claims = NULL;
        char was = token.p[i];
        token.p[i] = was == 'A' ? 'B' : 'A';
        assert_int_equal(dt_jwt_check(keys, dt_buf_str(&token), &rules, &claims, NULL), -1);
        token.p[i] = was;
        assert_int_equal(dt_jwt_check(keys, dt_str(token.p, i), &rules, &claims, NULL), -1);
    }
    static const char *const tails[] = {"=", ".", ".x", " ", "\n", "A"};
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        DT_AUTO_JSON json_t *claims = NULL;
        size_t n = token.n;
        assert_int_equal(dt_buf_addz(&token, tails[i], NULL), 0);
        assert_int_equal(dt_jwt_check(keys, dt_buf_str(&token), &rules, &claims, NULL), -1);
        token.n = n;
    }
}

static void test_shapes(void **state)
{
    (void)state;
    assert_true(dt_jwt_shaped(DT_STR("eyJ.eyJ.abc")));
    assert_true(dt_jwt_shaped(DT_STR("eyJ.eyJ.")));
    static const char *const others[] = {"",       "dtn_0123456789abcdef", "eyJ",  "eyJ.eyJ",
                                         "eyJ..x", "eyJ.eyJ.a.b",          "a.b.c"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(dt_jwt_shaped(dt_str_z(others[i])));
    DT_AUTO_FREE char *big = malloc(DT_JWT_MAX + 2);
    memset(big, 'a', DT_JWT_MAX + 1);
    memcpy(big, "ey.a.", 5);
    assert_false(dt_jwt_shaped(dt_str(big, DT_JWT_MAX + 1)));
    assert_true(dt_jwt_shaped(dt_str(big, DT_JWT_MAX)));
}

/* --- key sets --- */

static void test_two_keys_need_an_id(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf set, token;
    dt_buf_init(&set, 64 * 1024);
    dt_buf_init(&token, DT_JWT_MAX);
    assert_int_equal(dt_buf_addz(&set, "{\"keys\":[", NULL), 0);
    add_rsa_jwk(&set, rsa, "r", "");
    assert_int_equal(dt_buf_addz(&set, ",", NULL), 0);
    add_rsa_jwk(&set, other_rsa, "o", "");
    assert_int_equal(dt_buf_addz(&set, "]}", NULL), 0);
    DT_AUTO(dt_jwks_free) struct dt_jwks *two = NULL;
    DT_AUTO_JSON json_t *claims = NULL;
    struct dt_err err;
    assert_int_equal(dt_jwks_parse(dt_buf_str(&set), &two, &err), 0);
    make_token(&token, "{\"alg\":\"RS256\"}", GOOD, BY_RSA);
    assert_int_equal(dt_jwt_check(two, dt_buf_str(&token), &rules, &claims, &err), -1);
    assert_non_null(strstr(err.msg, "which key"));
}

static void test_keys_for_other_uses(void **state)
{
    (void)state;
    static const char *const rest[] = {",\"use\":\"enc\"", ",\"alg\":\"RS512\"",
                                       ",\"alg\":\"PS256\"", ",\"key_ops\":[\"encrypt\"]",
                                       ",\"use\":7"};
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
        DT_AUTO_BUF struct dt_buf set;
        dt_buf_init(&set, 64 * 1024);
        assert_int_equal(dt_buf_addz(&set, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"},", NULL), 0);
        add_rsa_jwk(&set, rsa, "r", rest[i]);
        assert_int_equal(dt_buf_addz(&set, ",7]}", NULL), 0);
        DT_AUTO(dt_jwks_free) struct dt_jwks *s = NULL;
        assert_int_equal(dt_jwks_parse(dt_buf_str(&set), &s, NULL), 0);
        assert_int_equal(s->n, 0);
    }
}

static void test_bad_sets(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQ\",\"y\":\"AQ\"}]}",
        /* a point that is not on the curve */
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
        "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ"
        "EBAQE\",\"y\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\"}]}",
    };
    struct dt_jwks *s = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(dt_jwks_parse(dt_str_z(bad[i]), &s, NULL), -1);
    DT_AUTO_BUF struct dt_buf weak;
    dt_buf_init(&weak, 64 * 1024);
    assert_int_equal(dt_buf_addz(&weak, "{\"keys\":[", NULL), 0);
    add_rsa_jwk(&weak, short_rsa, "r", "");
    assert_int_equal(dt_buf_addz(&weak, "]}", NULL), 0);
    assert_int_equal(dt_jwks_parse(dt_buf_str(&weak), &s, NULL), -1);
    assert_null(s);
}

static void test_too_many_keys(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf set;
    struct dt_jwks *s = NULL;
    dt_buf_init(&set, 64 * 1024);
    assert_int_equal(dt_buf_addz(&set, "{\"keys\":[", NULL), 0);
    for (int i = 0; i <= DT_JWKS_KEYS_MAX; i++) {
        assert_int_equal(dt_buf_addz(&set, i > 0 ? "," : "", NULL), 0);
        add_ec_jwk(&set, ec, "same", "");
    }
    assert_int_equal(dt_buf_addz(&set, "]}", NULL), 0);
    assert_int_equal(dt_jwks_parse(dt_buf_str(&set), &s, NULL), -1);
}

static int make_keys(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf set;
    struct dt_err err;
    dt_buf_init(&set, 64 * 1024);
    rsa = EVP_RSA_gen(2048);
    other_rsa = EVP_RSA_gen(2048);
    short_rsa = EVP_RSA_gen(1024);
    ec = EVP_EC_gen("P-256");
    other_ec = EVP_EC_gen("P-256");
    assert_int_equal(dt_buf_addz(&set, "{\"keys\":[", NULL), 0);
    add_rsa_jwk(&set, rsa, "r", ",\"alg\":\"RS256\",\"use\":\"sig\"");
    assert_int_equal(dt_buf_addz(&set, ",", NULL), 0);
    add_ec_jwk(&set, ec, "e", ",\"key_ops\":[\"verify\"]");
    assert_int_equal(dt_buf_addz(&set, "]}", NULL), 0);
    assert_int_equal(dt_jwks_parse(dt_buf_str(&set), &keys, &err), 0);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY *const all[] = {rsa, ec, other_rsa, other_ec, short_rsa};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        EVP_PKEY_free(all[i]);
    keys = dt_jwks_free(keys);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_two_keys_need_an_id),
        cmocka_unit_test(test_keys_for_other_uses),
        cmocka_unit_test(test_bad_sets),
        cmocka_unit_test(test_too_many_keys),
    };
    return cmocka_run_group_tests_name("jwt", tests, make_keys, free_keys);
}
