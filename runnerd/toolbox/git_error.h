/* What git says when it fails, as one of our errors. */
#ifndef DT_TOOLBOX_GIT_ERROR_H
#define DT_TOOLBOX_GIT_ERROR_H

#include "base/buf.h"

/* The error code that git's own words (in English) stand for; SYSTEM for what nobody knows. */
enum dt_err_code dt_git_error_code(const char *words);
/* Fills *err from what git printed: the code, and the words without user information of URLs,
 * `secret` and blank lines, cut at the front where they do not fit. `secret` may be NULL. Returns
 * -1. */
int dt_git_error_set(struct dt_err *err, struct dt_buf *words, const char *secret);

#endif
