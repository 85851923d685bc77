/* Who runs commands in the sandbox: an entry of the image's own /etc/passwd and /etc/group, read
 * without NSS, and becoming that user. */
#ifndef DT_TOOLBOX_USER_H
#define DT_TOOLBOX_USER_H

#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

enum { DT_USER_GROUPS_MAX = 64, DT_USER_FILE_MAX = 4 * 1024 * 1024 };

struct dt_user {
    uid_t uid;
    gid_t gid;
    gid_t groups[DT_USER_GROUPS_MAX];
    size_t ngroups;
    char name[64];
    char home[256];
    char shell[128];
};

/* Finds `spec` (name or uid, then optionally `:` and a group name or gid; empty means root) in the
 * texts of the two files. A uid without an entry is itself, with group 0 and home `/`, as for
 * containers elsewhere. NOT_FOUND: a name that is not there. INVALID: a spec that cannot be one. */
int dt_user_find(struct dt_str passwd, struct dt_str group, struct dt_str spec, struct dt_user *out,
                 struct dt_err *err) DT_MUST_CHECK;
/* A group's name or number, looked up in the text of /etc/group. */
int dt_user_group(struct dt_str text, struct dt_str who, gid_t *ret,
                  struct dt_err *err) DT_MUST_CHECK;
/* dt_user_find() in /etc; files that are missing or too large count as empty. When there is no such
 * user: an error when it is `required`, else root is taken, and the log says so. */
int dt_user_load(const char *spec, bool required, struct dt_user *out,
                 struct dt_err *err) DT_MUST_CHECK;
/* Makes the home folder and its parents when it is missing. Failing is logged only. */
void dt_user_make_home(const struct dt_user *u);
/* Gives up root for good, except CAP_KILL: a command that became root through sudo must still be
 * killed when its time is over. For root nothing changes. The process is not dumpable afterwards.
 */
int dt_user_become(const struct dt_user *u, struct dt_err *err) DT_MUST_CHECK;

#endif
