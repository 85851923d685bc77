/* Where git is: the one that comes with the sandbox is first, since it needs nothing of the image;
 * then the image's. */
#ifndef DT_TOOLBOX_GIT_PROGRAM_H
#define DT_TOOLBOX_GIT_PROGRAM_H

#include "base/err.h"

struct dt_git_program {
    const char *argv0;
    const char *argv1;  /* NULL: argv0 is git itself; else argv0 is a loader for it */
    const char *env[4]; /* of ours, which finds nothing at the places of an installed one */
};

/* All of it constants. GIT_NOT_AVAILABLE when there is none. */
int dt_git_program_find(struct dt_git_program *out, struct dt_err *err) DT_MUST_CHECK;
/* GIT_SSH_COMMAND=… with the image's ssh, or ours: asks nobody, and gives up on a dead host. */
const char *dt_git_program_ssh(void);

#endif
