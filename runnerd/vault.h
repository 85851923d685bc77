/* Secrets that must be read again, as the store keeps them: AES-256-GCM (NIST SP 800-38D) under a
 * key in a file of its own, state/vault.key. */
#ifndef DT_VAULT_H
#define DT_VAULT_H

#include "base/buf.h"
#include "model/token.h"

enum { DT_VAULT_OVERHEAD = 1 + 12 + 16 }; /* version, nonce, tag */

struct dt_vault {
    uint8_t key[DT_SECRET_SIZE];
};

/* Loads or makes the key. */
int dt_vault_load(struct dt_vault *v, const char *data_dir, struct dt_err *err) DT_MUST_CHECK;
/* Appends what may be stored. It opens only with the same context, the id of what it belongs to. */
int dt_vault_seal(const struct dt_vault *v, struct dt_str context, struct dt_str plain,
                  struct dt_buf *out, struct dt_err *err) DT_MUST_CHECK;
/* Appends the secret. SYSTEM: it was sealed under another key or context, or changed. */
int dt_vault_open(const struct dt_vault *v, struct dt_str context, struct dt_str sealed,
                  struct dt_buf *out, struct dt_err *err) DT_MUST_CHECK;

#endif
