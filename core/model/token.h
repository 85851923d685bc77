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
/* All that is kept of a key besides its hash: the first and the last three characters. */
void dt_api_key_ends(struct dt_str key, char prefix[4], char suffix[4]);
/* What lists show: the ends with twenty stars between them. */
enum { DT_API_KEY_MASK_SIZE = 27 };
char *dt_api_key_mask(const char *prefix, const char *suffix, char out[DT_API_KEY_MASK_SIZE]);

/* The key of a sandbox's file URLs, another one for each epoch, nothing stored. Clients sign with
 * its text. */
enum { DT_FILE_KEY_SIZE = 69 };
void dt_file_key(const uint8_t secret[DT_SECRET_SIZE], const char *id, int64_t epoch,
                 char out[DT_FILE_KEY_SIZE]);
/* Whether `signature` is `v1_` and the base64url of HMAC-SHA256 under that key of
 * `v1:files:METHOD:PATH:EXPIRES`. `expires` is the text that was signed; whether it is over is not
 * looked at. False without memory. */
bool dt_file_signature_fits(const char *key, const char *method, struct dt_str path,
                            struct dt_str expires, struct dt_str signature);

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

#endif
