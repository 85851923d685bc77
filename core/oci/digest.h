/* SHA-256, as 64 lower-case hexadecimal digits. */
#ifndef DT_DIGEST_H
#define DT_DIGEST_H

#include <stdint.h>

#include "base/buf.h"

#define DT_DIGEST_SIZE 65 /* with the NUL */

struct dt_digest;
/* The caller owns *ret. */
int dt_digest_new(struct dt_digest **ret, struct dt_err *err) DT_MUST_CHECK;
struct dt_digest *dt_digest_free(struct dt_digest *d);
DT_DEFINE_AUTO(struct dt_digest *, dt_digest_free)
int dt_digest_add(struct dt_digest *d, const void *p, size_t n, struct dt_err *err) DT_MUST_CHECK;
/* Once; nothing can be added afterwards. */
int dt_digest_end(struct dt_digest *d, char out[DT_DIGEST_SIZE], struct dt_err *err) DT_MUST_CHECK;

int dt_digest_of(struct dt_str s, char out[DT_DIGEST_SIZE], struct dt_err *err) DT_MUST_CHECK;
/* Of `n` bytes of the file from `at` on; INVALID when it ends before. */
int dt_digest_of_file(int fd, uint64_t at, uint64_t n, char out[DT_DIGEST_SIZE],
                      struct dt_err *err) DT_MUST_CHECK;
/* Whether s is exactly 64 lower-case hexadecimal digits. */
bool dt_is_digest(struct dt_str s);

#endif
