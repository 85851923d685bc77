/* A repository's URL taken apart, so that credentials in it reach git and nothing else. */
#ifndef DT_GITURL_H
#define DT_GITURL_H

#include "base/err.h"

struct dt_giturl {
    char *clean;    /* without credentials */
    char *folder;   /* what git would call the working copy */
    char *username; /* from the URL, decoded; NULL when there was none */
    char *password;
};
void dt_giturl_done(struct dt_giturl *u);
/* http, https, ssh, git and file URLs, user@host:path, and what has no scheme at all; never git's
 * transport helpers (ext::) or options. */
int dt_giturl_parse(const char *url, struct dt_giturl *ret, struct dt_err *err) DT_MUST_CHECK;

#endif
