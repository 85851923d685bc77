/*
 * The program of the sandbox's image (its ENTRYPOINT and CMD). It runs from the sandbox's start on
 * as the sandbox's user, in the image's folder and environment, beside everything else: nothing
 * waits for it, and its end ends nothing. Its standard input is empty, so that a shell or an
 * interpreter, which is what many images name, ends at once. It shows as the only command of a
 * session that clients may read and nothing else.
 */
#ifndef DT_TOOLBOX_ENTRYPOINT_H
#define DT_TOOLBOX_ENTRYPOINT_H

#include "toolbox/toolbox.h"

#define DT_ENTRYPOINT_SESSION "entrypoint"
#define DT_ENTRYPOINT_COMMAND "entrypoint_command"

/* Does nothing when the image has none. One that cannot be started has ended with 127 (there is no
 * such program) or 126, and its log says why. */
void dt_entrypoint_start(struct dt_toolbox *tb);

#endif
