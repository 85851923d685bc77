/* Capabilities: what a sandbox, the launcher and the launcher's helpers keep. */
#ifndef DT_CAPS_H
#define DT_CAPS_H

#include <stdint.h>

#include "base/err.h"

/* Bit n of a mask is capability n of capabilities(7). */
#define DT_CAP(n) (1ULL << (n))

/* What root inside a sandbox has at most, and only over its own user namespace: CHOWN DAC_OVERRIDE
 * FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP. */
extern const uint64_t dt_caps_sandbox;

/* What the launcher needs on the host; caps.c says what for. Without SYS_RESOURCE on purpose: the
 * overlay acts with the credentials of who mounted it, and that one would be above disk quotas. A
 * new user namespace starts with full sets, so this does not narrow what a sandbox is set up with.
 */
extern const uint64_t dt_caps_launcher;

/* For the cloned child, after the mounts and the filter, before exec: allocates nothing. Cuts the
 * bounding set, permitted and effective to `mask`, empties inheritable and ambient, and leaves
 * securebits as root needs them. Needs CAP_SETPCAP. -1 with errno. */
int dt_caps_keep(uint64_t mask) DT_MUST_CHECK;

/* For a helper program between fork and exec: no capability at all, none to be gained by uid 0 or a
 * set-uid file (securebits locked, no_new_privs). Allocates nothing. -1 with errno. */
int dt_caps_none(void) DT_MUST_CHECK;

/* Reduces the calling launcher to dt_caps_launcher. Call once, after
 * raising rlimits and lowering its own oom_score_adj. FORBIDDEN names the capabilities that are
 * missing. */
int dt_caps_reduce_launcher(struct dt_err *err) DT_MUST_CHECK;

#endif
