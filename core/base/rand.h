/* Random bytes from the kernel, and the names made of them. */
#ifndef DT_RAND_H
#define DT_RAND_H

#include <stdbool.h>
#include <stddef.h>

/* getrandom(2). Aborts if the kernel cannot answer: no caller could go on safely. */
void dt_rand_bytes(void *out, size_t n);

#define DT_UUID_SIZE 37
/* Version 4 (RFC 9562), lower case, terminated. */
void dt_rand_uuid(char out[DT_UUID_SIZE]);
/* Whether the text is a UUID in its canonical lower-case form, exactly. */
bool dt_is_uuid(const char *z);
/* `n` characters of a-z0-9 and a NUL: out holds n + 1 bytes. Unbiased. */
void dt_rand_alnum(char *out, size_t n);
/* 2n lower-case hexadecimal digits and a NUL. */
void dt_hex(const void *bytes, size_t n, char *out);
/* Compares two byte strings in time that depends on `n` alone. */
bool dt_equal_secret(const void *a, const void *b, size_t n);

#endif
