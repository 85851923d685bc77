/* Which program runs a command's text. */
#ifndef DT_TOOLBOX_SHELL_H
#define DT_TOOLBOX_SHELL_H

#include "base/buf.h"

/* The image's bash, else its sh; UNSUPPORTED when it has neither. A constant. */
const char *dt_shell_find(struct dt_err *err);

/* The shell for somebody at a terminal: `wanted` (the user's own) when the image has it and it is
 * one, else dt_shell_find(). Borrowed. */
const char *dt_shell_login(const char *wanted, struct dt_err *err);

/* The old clients' `sh -c "…base64…"`: they count on a splitter that knows quotes and blanks and
 * nothing else, so that `$(…)` inside is expanded once, by the inner sh. Returns the inner script
 * as a view of `command`, or .p == NULL for any other text. */
struct dt_str dt_shell_legacy(struct dt_str command);

/* argv for running `command`; a text longer than one argument may be (128 KiB) goes into a memfd
 * that becomes descriptor 3. */
struct dt_shell_argv {
    const char *argv[4];
    char *own;
    int script_fd; /* -1: none */
};
int dt_shell_argv(struct dt_shell_argv *a, const char *command, struct dt_err *err) DT_MUST_CHECK;
void dt_shell_argv_done(struct dt_shell_argv *a);

#endif
