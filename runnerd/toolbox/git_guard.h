/* Whether the settings that a repository itself brings may be in force while git holds credentials
 * of a request. Those settings are as good as the code that wrote them; some decide where a
 * password goes, or which program runs beside git. */
#ifndef DT_TOOLBOX_GIT_GUARD_H
#define DT_TOOLBOX_GIT_GUARD_H

#include "base/buf.h"

enum { DT_GIT_GUARD_TEXT_MAX = 1024 };

struct dt_git_guard {
    bool ssh_command; /* core.sshCommand is set somewhere */
    /* A setting of the repository's own that may not be in force; empty: none. */
    char refused[DT_GIT_GUARD_TEXT_MAX];
    /* branch.<branch>.remote and .merge; empty: none */
    char remote[DT_GIT_GUARD_TEXT_MAX];
    char merge[DT_GIT_GUARD_TEXT_MAX];
};

/* Reads `git config --list -z --show-scope`. `branch` may be NULL. SYSTEM for what is no such
 * output. */
int dt_git_guard_read(struct dt_str list, const char *branch, struct dt_git_guard *out,
                      struct dt_err *err) DT_MUST_CHECK;
/* Whether a repository may set the key (as git spells it). */
bool dt_git_guard_allows(struct dt_str key);

#endif
