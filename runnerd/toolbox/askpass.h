/* How git gets a password without it being in an argument, an environment, a file or a log: git
 * runs GIT_ASKPASS, which is this program again (descriptor 3), and that reads it from a memory
 * file (descriptor 4). It answers questions about the host it was meant for only, so a redirect
 * cannot send the password elsewhere. */
#ifndef DT_TOOLBOX_ASKPASS_H
#define DT_TOOLBOX_ASKPASS_H

#include "base/str.h"
#include "base/err.h"

#define DT_ASKPASS_ENV     "DAYTONA_ASKPASS=1"
#define DT_ASKPASS_PROGRAM "GIT_ASKPASS=/proc/self/fd/3"

/* A memory file that holds all three; the descriptor, or -1. `site` is `scheme://host[:port]`. */
int dt_askpass_store(const char *site, const char *username, const char *password,
                     struct dt_err *err);
/* Whether the process was started as GIT_ASKPASS. */
bool dt_askpass_wanted(int argc);
/* Prints the answer to `prompt`; returns the exit status. */
int dt_askpass_run(const char *prompt);
/* Whether git's prompt ("Username for 'https://host': ") asks about `site`. *password says which of
 * the two it wants. */
bool dt_askpass_match(const char *prompt, const char *site, bool *password);

#endif
