/* Names that people give: what they may hold. */
#ifndef DT_NAME_H
#define DT_NAME_H

#include "base/err.h"
#include "base/str.h"

enum { DT_NAME_MAX = 255 };

/* Of a sandbox: 1..255 bytes of UTF-8 without control characters, HTML tags or URLs; not white
 * space alone. BAD_REQUEST says which. */
int dt_name_check(struct dt_str name, struct dt_err *err) DT_MUST_CHECK;
/* Of a snapshot: components of letters, digits and _ . - : separated by '/'. */
int dt_snapshot_name_check(struct dt_str name, struct dt_err *err) DT_MUST_CHECK;
/* Of a user inside a sandbox: `name`, `uid`, `name:group`, `uid:gid`; what passwd files hold. */
int dt_user_check(struct dt_str user, struct dt_err *err) DT_MUST_CHECK;
/* An e-mail address as people have them: local part and domain of plain characters, neither quotes
 * nor comments (RFC 5321 allows more). BAD_REQUEST. */
int dt_email_check(struct dt_str email, struct dt_err *err) DT_MUST_CHECK;
/* Of a user, as identity providers make them: 1..255 bytes of UTF-8 without control characters. */
int dt_user_id_check(struct dt_str id, struct dt_err *err) DT_MUST_CHECK;
/* A URL of a server as people write it: `docker.io`, `http://registry:6000`, `https://a.b/v1/`. No
 * user, query or fragment. BAD_REQUEST. */
int dt_url_check(struct dt_str url, struct dt_err *err) DT_MUST_CHECK;
/* Of an environment variable: not empty, no '=', no NUL, no control characters. */
int dt_env_name_check(struct dt_str name, struct dt_err *err) DT_MUST_CHECK;

#endif
