/* What a clone URL says: credentials are taken out of it before anybody sees it. */
#ifndef DT_TOOLBOX_CLONE_URL_H
#define DT_TOOLBOX_CLONE_URL_H

#include "base/buf.h"

struct dt_clone_url {
    char *clean;    /* without user information when it is http(s) */
    char *username; /* from the URL, decoded; NULL: none */
    char *password;
    char *site; /* `scheme://host[:port]` for http(s), else NULL */
};

/* Accepts http, https, ssh, git and file URLs, `user@host:path`, and absolute paths; `host/path`
 * gets https. INVALID names what is wrong. */
int dt_clone_url_parse(const char *url, struct dt_clone_url *out, struct dt_err *err) DT_MUST_CHECK;
void dt_clone_url_done(struct dt_clone_url *u);

/* Replaces every `secret` in the text by ***. Empty secrets are skipped. */
int dt_clone_url_redact(struct dt_buf *text, const char *secret, struct dt_err *err) DT_MUST_CHECK;

#endif
