#include "oci/digest.h"

#include <openssl/evp.h>

#include "base/rand.h"

struct dt_digest {
    EVP_MD_CTX *ctx;
};

int dt_digest_new(struct dt_digest **ret, struct dt_err *err)
{
    struct dt_digest *d = calloc(1, sizeof(*d));
    if (d == NULL || (d->ctx = EVP_MD_CTX_new()) == NULL ||
        EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1) {
        (void)dt_digest_free(d);
        (void)dt_err_set(err, DT_E_NOMEM, "SHA-256");
        return -1;
    }
    *ret = d;
    return 0;
}

struct dt_digest *dt_digest_free(struct dt_digest *d)
{
    if (d != NULL)
        EVP_MD_CTX_free(d->ctx);
    free(d);
    return NULL;
}

int dt_digest_add(struct dt_digest *d, const void *p, size_t n, struct dt_err *err)
{
    return EVP_DigestUpdate(d->ctx, p, n) == 1 ? 0 : dt_err_set(err, DT_E_SYSTEM, "SHA-256");
}

int dt_digest_end(struct dt_digest *d, char out[DT_DIGEST_SIZE], struct dt_err *err)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(d->ctx, sum, &n) != 1 || n != 32)
        return dt_err_set(err, DT_E_SYSTEM, "SHA-256");
    dt_hex(sum, n, out);
    return 0;
}

int dt_digest_of(struct dt_str s, char out[DT_DIGEST_SIZE], struct dt_err *err)
{
    DT_AUTO(dt_digest_free) struct dt_digest *d = NULL;
    if (dt_digest_new(&d, err) < 0 || dt_digest_add(d, s.p, s.n, err) < 0)
        return -1;
    return dt_digest_end(d, out, err);
}

int dt_digest_of_file(int fd, uint64_t at, uint64_t n, char out[DT_DIGEST_SIZE], struct dt_err *err)
{
    enum { CHUNK = 256 * 1024 };
    DT_AUTO(dt_digest_free) struct dt_digest *d = NULL;
    DT_AUTO_FREE char *chunk = malloc(CHUNK);
    if (chunk == NULL)
        return dt_err_set(err, DT_E_NOMEM, "SHA-256");
    if (dt_digest_new(&d, err) < 0)
        return -1;
    while (n > 0) {
        ssize_t got = pread(fd, chunk, n < CHUNK ? (size_t)n : CHUNK, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return dt_err_errno(err, "read");
        if (got == 0)
            return dt_err_set(err, DT_E_INVALID, "the file ends too early");
        if (dt_digest_add(d, chunk, (size_t)got, err) < 0)
            return -1;
        at += (uint64_t)got;
        n -= (uint64_t)got;
    }
    return dt_digest_end(d, out, err);
}

bool dt_is_digest(struct dt_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.n == DT_DIGEST_SIZE - 1;
}
