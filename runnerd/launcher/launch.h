/* How a sandbox's process comes to be, from a kit, a disk and a request. */
#ifndef DT_LAUNCHER_LAUNCH_H
#define DT_LAUNCHER_LAUNCH_H

#include "runnerd/launcher/sandbox.h"

/* `s` has spec, config, kit and disk; afterwards it has a box that has been told to go, its
 * address, and its folder is sandboxes/<id>. On failure there is no process; the folder of a fresh
 * sandbox is either still in pool/ (s->disk.serial) or, when *moved, already sandboxes/<id>. */
int dt_launch(struct dt_sandbox *s, bool *moved, struct dt_err *err) DT_MUST_CHECK;

/* Every layer of the request is in the store; NOT_FOUND names the first that is not. */
int dt_launch_check_layers(const struct dt_launcher *l, const struct dt_lw_spec *spec,
                           struct dt_err *err) DT_MUST_CHECK;

#endif
