/* Files of a request as git's pathspecs. */
#ifndef DT_TOOLBOX_GIT_PATHSPEC_H
#define DT_TOOLBOX_GIT_PATHSPEC_H

#include "toolbox/git_run.h"

/* Adds `--` and a pathspec for each text of `files`, which are paths in `dir` and no patterns. A
 * name that git status showed with U+FFFD in place of bytes that are not UTF-8 means the files that
 * it shows so, unless there is one of just that name. INVALID_FILE_PATH for a text with a NUL. */
int dt_git_pathspec_add(struct dt_git_args *a, const char *dir, const json_t *files,
                        struct dt_err *err) DT_MUST_CHECK;
/* The pathspec of one; free() it. `repaired`: U+FFFD stands for any byte above 127. */
char *dt_git_pathspec_make(const char *name, bool repaired);

#endif
