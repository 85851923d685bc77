/* What is written to the shell of a session. */
#ifndef DT_TOOLBOX_SESSION_SCRIPT_H
#define DT_TOOLBOX_SESSION_SCRIPT_H

#include <stdbool.h>

#include "base/buf.h"

/* The first line: the report's descriptor moves from 3 to where users look for none. */
#define DT_SESSION_SCRIPT_BEGIN "exec 7>&3 3>&-\n"

/* Where a command's descriptors come from: FOLDER/NUMBERi, o and e. */
struct dt_session_fifos {
    const char *folder;
    unsigned long number;
    bool input; /* else /dev/null */
};

/*
 * Appends the lines that run `command` (without NUL) in the shell itself and then print its status
 * to the report. The command is one quoted word for `eval`, so that nothing in it ends anywhere but
 * inside; `builtin` (bash) or `command` keeps a syntax error from ending the shell, and functions
 * of the user's from being called. Its descriptors are only the command's: the shell takes its own
 * back afterwards, and has them marked close-on-exec meanwhile.
 */
int dt_session_script(struct dt_buf *out, bool bash, struct dt_str command,
                      const struct dt_session_fifos *fifos, struct dt_err *err) DT_MUST_CHECK;

#endif
