/* Programs of ours in the languages of the image, embedded from runnerd/toolbox/code, and where the
 * image has the interpreters that run them. */
#ifndef DT_TOOLBOX_SCRIPT_H
#define DT_TOOLBOX_SCRIPT_H

#include "json/json.h"
#include "toolbox/guest.h"

extern const struct dt_str dt_script_charts_py;
extern const struct dt_str dt_script_hook_py;
extern const struct dt_str dt_script_run_js;
extern const struct dt_str dt_script_run_py;
extern const struct dt_str dt_script_worker_py;

/* What `python3 -c` is given: it runs the first of the scripts on descriptor 3, with the others as
 * the list `sources`. */
#define DT_SCRIPT_PYTHON                                                                           \
    "_=open(3,'rb').read().split(b'\\0');"                                                         \
    "exec(compile(_[0],'<daytona>','exec'),{'__name__':'daytona','sources':_[1:]})"

/* A file in memory with the scripts, a NUL between two; its descriptor, read from its beginning, is
 * the caller's. Nobody but the sandbox's user and root can open it, and no path leads to it. */
int dt_script_open(const struct dt_str *const *parts, size_t n, struct dt_err *err) DT_MUST_CHECK;
/* The same with any bytes. */
int dt_script_open_text(struct dt_str text, struct dt_err *err) DT_MUST_CHECK;
/* The path of a program by PATH, that of `envs` (may be NULL) before the guest's. FILE_NOT_FOUND
 * says which program the sandbox lacks. free() the result. */
char *dt_script_program(const struct dt_guest *g, const json_t *envs, const char *name,
                        struct dt_err *err);

#endif
