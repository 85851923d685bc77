#include "model/audit.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static void put_number(int64_t v, uint8_t out[8])
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)((uint64_t)v >> (56 - 8 * i));
}

/* Hashing fails without memory alone, and nobody can go on then. */
static void add(EVP_MD_CTX *md, const void *p, size_t n)
{
    int done = EVP_DigestUpdate(md, p, n);
    assert(done == 1);
}

/* Numbers go in as eight bytes, texts behind their length (-1: there is none): no two records give
 * the same bytes. */
static void add_number(EVP_MD_CTX *md, int64_t v)
{
    uint8_t bytes[8];
    put_number(v, bytes);
    add(md, bytes, sizeof(bytes));
}

static void add_text(EVP_MD_CTX *md, const char *z)
{
    size_t n = z != NULL ? strlen(z) : 0;
    add_number(md, z != NULL ? (int64_t)n : -1);
    if (n > 0)
        add(md, z, n);
}

void dt_audit_hash(const uint8_t before[DT_HASH_SIZE], const struct dt_audit_record *r,
                   uint8_t out[DT_HASH_SIZE])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int ready = md != NULL ? EVP_DigestInit_ex(md, EVP_sha256(), NULL) : 0;
    assert(ready == 1);
    add(md, before, DT_HASH_SIZE);
    add_number(md, r->seq);
    add_number(md, r->begin);
    add_number(md, r->at_ms);
    add_number(md, r->status);
    for (int i = 0; i < DT_AUDIT_TEXTS; i++)
        add_text(md, r->texts[i]);
    int done = EVP_DigestFinal_ex(md, out, NULL);
    assert(done == 1);
    EVP_MD_CTX_free(md);
}

void dt_audit_seal(const uint8_t key[DT_SECRET_SIZE], const char *name, int64_t seq,
                   const uint8_t hash[DT_HASH_SIZE], uint8_t out[DT_HASH_SIZE])
{
    enum { NAME_MAX_BYTES = 16 };
    uint8_t text[8 + DT_HASH_SIZE + NAME_MAX_BYTES] = {0};
    size_t n = strlen(name);
    unsigned size = DT_HASH_SIZE;
    assert(n <= NAME_MAX_BYTES);
    put_number(seq, text);
    memcpy(text + 8, hash, DT_HASH_SIZE);
    memcpy(text + 8 + DT_HASH_SIZE, name, n);
    const uint8_t *done = HMAC(EVP_sha256(), key, DT_SECRET_SIZE, text, sizeof(text), out, &size);
    assert(done != NULL && size == DT_HASH_SIZE);
}
