/* How a sandbox's process comes to be, from a kit, a disk and a request. */
#ifndef DT_LAUNCHER_LAUNCH_H
#define DT_LAUNCHER_LAUNCH_H

#include "runnerd/launcher/sandbox.h"

/* `s` has spec, kit and disk; afterwards it has a box that has been told to go, and that waits for
 * dt_launch_own(). On failure there is no process. */
int dt_launch(struct dt_sandbox *s, struct dt_err *err) DT_MUST_CHECK;

/* Makes it the sandbox `s->id`: its network, its folder (sandboxes/<id>; s->moved), its name and
 * its configuration. The process is left alone on failure. */
int dt_launch_own(struct dt_sandbox *s, struct dt_err *err) DT_MUST_CHECK;

/* The network's rules of s->spec are in force; s->addr. */
int dt_launch_rules(struct dt_sandbox *s, struct dt_err *err) DT_MUST_CHECK;

/* Every layer of the request is in the store; NOT_FOUND names the first that is not. */
int dt_launch_check_layers(const struct dt_launcher *l, const struct dt_lw_spec *spec,
                           struct dt_err *err) DT_MUST_CHECK;

#endif
