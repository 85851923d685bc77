/* User namespaces that map the ids 0..65535 to a range of the host's own. */
#ifndef DT_USERNS_H
#define DT_USERNS_H

#include <linux/sched.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum { DT_USERNS_IDS = 65536 };

/* Once per process, before the functions below: changing the effective or the file system's user id
 * no longer changes capabilities (SECBIT_NO_SETUID_FIXUP). Needs CAP_SETPCAP. */
int dt_userns_init(struct dt_err *err) DT_MUST_CHECK;

/* clone3(2) with `args`, which should have CLONE_NEWUSER, as user `base`: what the namespace uses
 * of per-user limits (inotify) is then charged to `base` and not to root. Returns as clone3 does:
 * the child's pid, 0 in the child, or -1 with errno. */
pid_t dt_userns_clone(struct clone_args *args, uint32_t base);
/* Writes both maps of a child made that way: 0..65535 to base..base+65535. */
int dt_userns_map(pid_t pid, uint32_t base, struct dt_err *err) DT_MUST_CHECK;
/* The namespace of a process, for idmapped mounts. The caller owns *ret. */
int dt_userns_open(pid_t pid, int *ret, struct dt_err *err) DT_MUST_CHECK;

#endif
