/* Programs by name, as a shell finds them. */
#ifndef DT_TOOLBOX_PROGRAM_H
#define DT_TOOLBOX_PROGRAM_H

#include "base/err.h"

/* The path of `name`: itself when it has a slash, else the first file in the absolute folders of
 * PATH in `env` that may be started. free() it. FILE_NOT_FOUND, or NOMEM. */
char *dt_program_find(char *const *env, const char *name, struct dt_err *err);

#endif
