/* Secrets of this server in files of their own, mode 0600: 32 random bytes each. */
#ifndef DT_KEYFILE_H
#define DT_KEYFILE_H

#include "base/err.h"
#include "model/token.h"

/* SYSTEM when it cannot be read (err->sys_errno says why) or is no such file. */
int dt_keyfile_read(const char *path, uint8_t out[DT_SECRET_SIZE],
                    struct dt_err *err) DT_MUST_CHECK;
/* The same, but makes the file when there is none. */
int dt_keyfile_load(const char *path, uint8_t out[DT_SECRET_SIZE],
                    struct dt_err *err) DT_MUST_CHECK;

#endif
