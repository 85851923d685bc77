#include "runnerd/vault.h"

#include <stdio.h>
#include <openssl/evp.h>

#include "base/rand.h"
#include "runnerd/keyfile.h"

enum { VERSION = 1, NONCE = 12, TAG = 16, SECRET_MAX = 64 * 1024 };

static inline EVP_CIPHER_CTX *cipher_free(EVP_CIPHER_CTX *c)
{
    EVP_CIPHER_CTX_free(c);
    return NULL;
}
DT_DEFINE_AUTO(EVP_CIPHER_CTX *, cipher_free)

int dt_vault_load(struct dt_vault *v, const char *data_dir, struct dt_err *err)
{
    char path[4200];
    (void)snprintf(path, sizeof(path), "%s/state/vault.key", data_dir);
    return dt_keyfile_load(path, v->key, err);
}

static int fail(struct dt_err *err)
{
    return dt_err_set(err, DT_E_SYSTEM, "a secret cannot be sealed or opened");
}

/* The cipher with key, nonce and context in it. */
static EVP_CIPHER_CTX *begin(const struct dt_vault *v, const uint8_t *nonce, struct dt_str context,
                             bool seal)
{
    DT_AUTO(cipher_free) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0;
    if (c == NULL ||
        EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, v->key, nonce, seal ? 1 : 0) != 1 ||
        EVP_CipherUpdate(c, NULL, &n, (const uint8_t *)context.p, (int)context.n) != 1)
        return NULL;
    return dt_take(c);
}

int dt_vault_seal(const struct dt_vault *v, struct dt_str context, struct dt_str plain,
                  struct dt_buf *out, struct dt_err *err)
{
    uint8_t head[1 + NONCE] = {VERSION}, tag[TAG];
    int n = 0, rest = 0;
    if (plain.n > SECRET_MAX)
        return dt_err_set(err, DT_E_TOO_LARGE, "a secret has at most %d bytes", SECRET_MAX);
    dt_rand_bytes(head + 1, NONCE);
    if (dt_buf_reserve(out, plain.n + DT_VAULT_OVERHEAD, err) < 0 ||
        dt_buf_add(out, head, sizeof(head), err) < 0)
        return -1;
    DT_AUTO(cipher_free) EVP_CIPHER_CTX *c = begin(v, head + 1, context, true);
    uint8_t *at = (uint8_t *)out->p + out->n;
    if (c == NULL ||
        EVP_CipherUpdate(c, at, &n, (const uint8_t *)(plain.n > 0 ? plain.p : ""), (int)plain.n) !=
            1 ||
        EVP_CipherFinal_ex(c, at + n, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, tag) != 1)
        return fail(err);
    out->n += (size_t)(n + rest);
    return dt_buf_add(out, tag, sizeof(tag), err);
}

int dt_vault_open(const struct dt_vault *v, struct dt_str context, struct dt_str sealed,
                  struct dt_buf *out, struct dt_err *err)
{
    uint8_t tag[TAG];
    int n = 0, rest = 0;
    if (sealed.n < DT_VAULT_OVERHEAD || sealed.n > SECRET_MAX + DT_VAULT_OVERHEAD ||
        sealed.p[0] != VERSION)
        return fail(err);
    size_t size = sealed.n - DT_VAULT_OVERHEAD;
    const uint8_t *p = (const uint8_t *)sealed.p;
    memcpy(tag, p + sealed.n - TAG, TAG);
    if (dt_buf_reserve(out, size + 1, err) < 0)
        return -1;
    uint8_t *at = (uint8_t *)out->p + out->n;
    DT_AUTO(cipher_free) EVP_CIPHER_CTX *c = begin(v, p + 1, context, false);
    if (c == NULL || EVP_CipherUpdate(c, at, &n, p + 1 + NONCE, (int)size) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, tag) != 1 ||
        EVP_CipherFinal_ex(c, at + n, &rest) != 1) {
        explicit_bzero(at, size); /* nothing of what did not fit gets out */
        return fail(err);
    }
    out->n += (size_t)(n + rest);
    out->p[out->n] = '\0';
    return 0;
}
