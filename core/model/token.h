/* Secrets: how they are made, what of them is kept. */
#ifndef DT_TOKEN_H
#define DT_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum {
    DT_API_KEY_SIZE = 69, /* dtn_ + 64 hexadecimal digits + NUL */
    DT_HASH_SIZE = 32,    /* SHA-256 */
    DT_SECRET_SIZE = 32,  /* the server's own secret */
    DT_PREVIEW_TOKEN_SIZE = 33,
};

void dt_api_key_make(char out[DT_API_KEY_SIZE]);
/* dtn_ and 16 to 200 characters of [A-Za-z0-9_-]: keys that people choose are accepted. */
bool dt_api_key_shaped(struct dt_str key);
void dt_hash(struct dt_str text, uint8_t out[DT_HASH_SIZE]);
/* What lists show: dtn***abc (first and last three characters). `out` holds 32 bytes. */
void dt_api_key_hint(struct dt_str key, char out[32]);

/* The token of a sandbox's previews: another one after each start, nothing stored. */
void dt_preview_token(const uint8_t secret[DT_SECRET_SIZE], const char *id, int64_t starts,
                      char out[DT_PREVIEW_TOKEN_SIZE]);
/* The cookie that remembers one was accepted, until `expires_s` (seconds since 1970). `out` holds
 * DT_COOKIE_SIZE bytes. */
enum { DT_COOKIE_SIZE = 96 };
void dt_preview_cookie(const uint8_t secret[DT_SECRET_SIZE], const char *id, int64_t starts,
                       uint16_t port, int64_t expires_s, char out[DT_COOKIE_SIZE]);
bool dt_preview_cookie_check(const uint8_t secret[DT_SECRET_SIZE], const char *id, int64_t starts,
                             uint16_t port, int64_t now_s, struct dt_str cookie);
/* Whether `scopes` (separated by one space) holds `scope`. NULL scope: always. */
bool dt_scope_allows(const char *scopes, const char *scope);
/* All scopes a key of this server can have, in that form. */
extern const char dt_scopes_all[];

#endif
