/* Secrets of this server in files of its own, mode 0600: 32 random bytes each. */
#ifndef DT_KEYFILE_H
#define DT_KEYFILE_H

#include "model/token.h"

#include "base/err.h"

/* Reads the file; makes it when it is not there, *made (may be NULL) then says so. SYSTEM when it
 * is none. */
int dt_keyfile_load(const char *path, uint8_t out[DT_SECRET_SIZE], bool *made,
                    struct dt_err *err) DT_MUST_CHECK;

#endif
