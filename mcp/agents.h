/* Putting our entry into the configuration files of AI agents. */
#ifndef DT_AGENTS_H
#define DT_AGENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* "claude, claude-code, ..." */
const char *dt_agents_names(void);
/* Adds or updates the entry. `path` receives the file's name. *changed is false when the file said
 * it all already; then nothing is written. Nothing is written on failure either. */
int dt_agents_init(const char *agent, char *path, size_t path_size, bool *changed,
                   struct dt_err *err) DT_MUST_CHECK;
/* The text that init would put into an empty file; NULL means the form most agents share. The
 * caller frees *ret. */
int dt_agents_config(const char *agent, char **ret, struct dt_err *err) DT_MUST_CHECK;

#endif
