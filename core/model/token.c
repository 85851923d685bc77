#include "model/token.h"

#include <assert.h>
#include <stdio.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/base64.h"
#include "base/rand.h"

void dt_api_key_make(char out[DT_API_KEY_SIZE])
{
    uint8_t random[32];
    dt_rand_bytes(random, sizeof(random));
    char hex[2 * sizeof(random) + 1];
    dt_hex(random, sizeof(random), hex);
    (void)snprintf(out, DT_API_KEY_SIZE, "dtn_%s", hex);
}

bool dt_api_key_shaped(struct dt_str key)
{
    if (!dt_str_starts(key, DT_STR("dtn_")) || key.n < 4 + 16 || key.n > 4 + 200)
        return false;
    for (size_t i = 4; i < key.n; i++) {
        char c = key.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-'))
            return false;
    }
    return true;
}

void dt_hash(struct dt_str text, uint8_t out[DT_HASH_SIZE])
{
    (void)SHA256((const unsigned char *)(text.p != NULL ? text.p : ""), text.n, out);
}

void dt_api_key_ends(struct dt_str key, char prefix[4], char suffix[4])
{
    (void)snprintf(prefix, 4, "%.3s", key.p);
    (void)snprintf(suffix, 4, "%.3s", key.p + key.n - 3);
}

char *dt_api_key_mask(const char *prefix, const char *suffix, char out[DT_API_KEY_MASK_SIZE])
{
    (void)snprintf(out, DT_API_KEY_MASK_SIZE, "%.3s********************%.3s", prefix, suffix);
    return out;
}

static void mac(const uint8_t secret[DT_SECRET_SIZE], const char *text, uint8_t out[DT_HASH_SIZE])
{
    unsigned n = DT_HASH_SIZE;
    const unsigned char *done = HMAC(EVP_sha256(), secret, DT_SECRET_SIZE,
                                     (const unsigned char *)text, strlen(text), out, &n);
    assert(done != NULL && n == DT_HASH_SIZE);
}

void dt_file_key(const uint8_t secret[DT_SECRET_SIZE], const char *id, int64_t epoch,
                 char out[DT_FILE_KEY_SIZE])
{
    char text[128], hex[2 * DT_HASH_SIZE + 1];
    uint8_t digest[DT_HASH_SIZE];
    (void)snprintf(text, sizeof(text), "files %s %lld", id, (long long)epoch);
    mac(secret, text, digest);
    dt_hex(digest, sizeof(digest), hex);
    (void)snprintf(out, DT_FILE_KEY_SIZE, "sgk_%s", hex);
}

bool dt_file_signature_fits(const char *key, const char *method, struct dt_str path,
                            struct dt_str expires, struct dt_str signature)
{
    const struct dt_str version = DT_STR("v1_");
    uint8_t want[DT_HASH_SIZE];
    unsigned n = DT_HASH_SIZE;
    DT_AUTO_BUF struct dt_buf text, given;
    dt_buf_init(&text, path.n + expires.n + 64);
    dt_buf_init(&given, DT_HASH_SIZE + 1);
    if (!dt_str_starts(signature, version) ||
        dt_base64url_decode(&given, dt_str(signature.p + version.n, signature.n - version.n),
                            NULL) < 0 ||
        given.n != DT_HASH_SIZE || dt_buf_addf(&text, NULL, "v1:files:%s:", method) < 0 ||
        dt_buf_adds(&text, path, NULL) < 0 || dt_buf_addz(&text, ":", NULL) < 0 ||
        dt_buf_adds(&text, expires, NULL) < 0)
        return false;
    return HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)text.p, text.n, want,
                &n) != NULL &&
           dt_equal_secret(given.p, want, sizeof(want));
}

void dt_preview_token(const uint8_t secret[DT_SECRET_SIZE], const char *id, int64_t starts,
                      char out[DT_PREVIEW_TOKEN_SIZE])
{
    char text[128];
    uint8_t digest[DT_HASH_SIZE];
    (void)snprintf(text, sizeof(text), "preview %s %lld", id, (long long)starts);
    mac(secret, text, digest);
    dt_hex(digest, (DT_PREVIEW_TOKEN_SIZE - 1) / 2, out);
}

void dt_preview_cookie(const uint8_t secret[DT_SECRET_SIZE], const char *id, int64_t starts,
                       uint16_t port, int64_t expires_s, char out[DT_COOKIE_SIZE])
{
    char text[160], hex[2 * DT_HASH_SIZE + 1];
    uint8_t digest[DT_HASH_SIZE];
    (void)snprintf(text, sizeof(text), "cookie %s %lld %u %lld", id, (long long)starts, port,
                   (long long)expires_s);
    mac(secret, text, digest);
    dt_hex(digest, sizeof(digest), hex);
    (void)snprintf(out, DT_COOKIE_SIZE, "%lld.%s", (long long)expires_s, hex);
}

bool dt_preview_cookie_check(const uint8_t secret[DT_SECRET_SIZE], const char *id, int64_t starts,
                             uint16_t port, int64_t now_s, struct dt_str cookie)
{
    struct dt_str rest = cookie, until;
    unsigned long long expires;
    char want[DT_COOKIE_SIZE];
    if (!dt_str_cut(&rest, '.', &until) || dt_str_u64(until, 1ull << 50, &expires) < 0 ||
        (int64_t)expires <= now_s)
        return false;
    dt_preview_cookie(secret, id, starts, port, (int64_t)expires, want);
    return cookie.n == strlen(want) && dt_equal_secret(cookie.p, want, cookie.n);
}
