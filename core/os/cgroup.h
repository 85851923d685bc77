/*
 * Control groups of sandboxes: <base>/daytona-<instance>/<name>, one per sandbox.
 *
 * One noun, two ways per controller, probed at start: cgroup v2 where the v2 tree has the
 * controller, else its v1 hierarchy (hybrid hosts). Kill, freeze, events, cpu time and clone-into
 * always use the v2 tree. Devices: an eBPF program on the parent group (everything is refused but
 * null zero full random urandom tty ptmx pts), else the v1 devices controller.
 *
 * The base is the top of the v2 tree, or a group below it that systemd leaves to us: that of a unit
 * with Delegate=yes whose only process has stepped aside (dt_cgroup_hold). It cannot be the
 * launcher's own unit: once a group gives controllers to others, the kernel lets no process into
 * it, and systemd could not start the launcher again. Inside of a container the top may have
 * processes; when the kernel asks for it they move to the leaf `daytona-launcher`.
 *
 * Everything goes by name, so that no descriptor is kept per sandbox. A name is 1 to 64 of
 * [A-Za-z0-9_-] and comes from the caller: pool slots (`s17`) or ids. Wrong name: INVALID. No such
 * group: NOT_FOUND. Single-threaded; all calls but wait_empty, freeze are a few file operations.
 */
#ifndef DT_CGROUP_H
#define DT_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct dt_cgroup_root;

/* Finds the hierarchies, makes the parent group and enables its controllers. `instance` obeys the
 * rules of a name. `base` is relative to the v2 mount, "" = the top. NOT_FOUND when there is no
 * such base; UNSUPPORTED names every controller and feature that the host lacks, and what to do. */
int dt_cgroup_root_open(const char *instance, const char *base, struct dt_cgroup_root **ret,
                        struct dt_err *err) DT_MUST_CHECK;
/* The same, with the mounts of `mountinfo` (a file as /proc/self/mountinfo) instead of the
 * caller's. */
int dt_cgroup_root_open_at(const char *mountinfo, const char *instance, const char *base,
                           struct dt_cgroup_root **ret, struct dt_err *err) DT_MUST_CHECK;
/* Moves all processes of the caller's own group, as a rule the caller alone, into its leaf
 * `daytona-launcher`: the group can be a base then, and lives as long as the caller. FORBIDDEN at
 * the top of the tree. */
int dt_cgroup_hold(struct dt_err *err) DT_MUST_CHECK;
/* Leaves the groups as they are. NULL is fine; always returns NULL. */
struct dt_cgroup_root *dt_cgroup_root_free(struct dt_cgroup_root *r);
DT_DEFINE_AUTO(struct dt_cgroup_root *, dt_cgroup_root_free)
/* Removes the parent groups; CONFLICT while a sandbox's group is left. For tests and uninstalling.
 */
int dt_cgroup_root_remove(struct dt_cgroup_root *r, struct dt_err *err) DT_MUST_CHECK;
/* "v2", or "hybrid" when at least one controller is v1. */
const char *dt_cgroup_driver(const struct dt_cgroup_root *r);
/* Whether dt_cgroup_attach_v1 has anything to do. */
bool dt_cgroup_needs_attach(const struct dt_cgroup_root *r);

/* Makes an empty group without limits of its own. CONFLICT when the name is taken. */
int dt_cgroup_make(struct dt_cgroup_root *r, const char *name, struct dt_err *err) DT_MUST_CHECK;
/* The v2 directory, CLOEXEC, for CLONE_INTO_CGROUP; the caller closes it. -1 on failure. */
int dt_cgroup_dir(struct dt_cgroup_root *r, const char *name, struct dt_err *err) DT_MUST_CHECK;

struct dt_cgroup_limits {
    uint64_t memory_bytes; /* swap is off */
    uint32_t cpu_millis;   /* 1000 = one cpu; at least 10 */
    uint32_t pids;
    bool oom_group; /* out of memory ends all processes at once; v2 only, ignored on v1 */
};
/* May be called again with other limits while the group runs. All fields must be set; INVALID for
 * zero, CONFLICT when the memory in use cannot be reduced to the new limit. */
int dt_cgroup_limit(struct dt_cgroup_root *r, const char *name,
                    const struct dt_cgroup_limits *limits, struct dt_err *err) DT_MUST_CHECK;

/* Moves a child that was cloned into the v2 group into the v1 groups of the same name. Call it
 * while the child still waits for its go: memory and descendants from before stay outside. */
int dt_cgroup_attach_v1(struct dt_cgroup_root *r, const char *name, pid_t pid,
                        struct dt_err *err) DT_MUST_CHECK;

/* Stops or continues all processes; waits for the kernel's confirmation when stopping. Deadlines
 * are on dt_clock_ms()'s clock; TIMEOUT when they pass. */
int dt_cgroup_freeze(struct dt_cgroup_root *r, const char *name, bool frozen, uint64_t deadline_ms,
                     struct dt_err *err) DT_MUST_CHECK;
/* The same without waiting: dt_cgroup_is_frozen() tells when it is so. */
int dt_cgroup_set_frozen(struct dt_cgroup_root *r, const char *name, bool frozen,
                         struct dt_err *err) DT_MUST_CHECK;
int dt_cgroup_is_frozen(struct dt_cgroup_root *r, const char *name, bool *frozen,
                        struct dt_err *err) DT_MUST_CHECK;
/* SIGKILL to all processes, frozen ones and new ones included. Does not wait. */
int dt_cgroup_kill(struct dt_cgroup_root *r, const char *name, struct dt_err *err) DT_MUST_CHECK;
/* No live process is left (zombies do not count). */
int dt_cgroup_is_empty(struct dt_cgroup_root *r, const char *name, bool *empty,
                       struct dt_err *err) DT_MUST_CHECK;
int dt_cgroup_wait_empty(struct dt_cgroup_root *r, const char *name, uint64_t deadline_ms,
                         struct dt_err *err) DT_MUST_CHECK;
/* For a loop that cannot block: `cgroup.events`, which polls POLLPRI on each change (then ask
 * dt_cgroup_is_empty or _is_frozen, and pread it to arm it again). The caller closes it. */
int dt_cgroup_events(struct dt_cgroup_root *r, const char *name, struct dt_err *err) DT_MUST_CHECK;
/* Removes an empty group in all hierarchies; fine when it is gone. CONFLICT while it has processes.
 */
int dt_cgroup_remove(struct dt_cgroup_root *r, const char *name, struct dt_err *err) DT_MUST_CHECK;

/* Calls back with each group's name; stops when it returns non-zero. The callback may remove the
 * group it was given. Groups that are only left in a v1 hierarchy are removed on the way. */
int dt_cgroup_list(struct dt_cgroup_root *r, int (*each)(void *arg, const char *name), void *arg,
                   struct dt_err *err) DT_MUST_CHECK;

/* A group as its own processes may see it: a detached read-only mount, and the folder below
 * /sys/fs/cgroup that it belongs to ("": that folder itself). */
struct dt_cgroup_view {
    int mount;
    const char *folder;
};
enum { DT_CGROUP_VIEWS_MAX = 4 };
/* One view on v2 hosts. On hybrid ones the group of each v1 controller, under the controller's
 * name, and the v2 one as `unified`. The caller closes them, after a failure nothing. */
int dt_cgroup_views(struct dt_cgroup_root *r, const char *name,
                    struct dt_cgroup_view views[DT_CGROUP_VIEWS_MAX], unsigned *n,
                    struct dt_err *err) DT_MUST_CHECK;
void dt_cgroup_views_close(struct dt_cgroup_view *views, unsigned n);

struct dt_cgroup_stats {
    uint64_t memory_bytes;
    uint64_t memory_limit; /* UINT64_MAX = none */
    uint64_t cpu_usec;
    uint64_t pids;
    uint64_t oom_kills;
    uint64_t cache_bytes; /* of memory_bytes: files, which the kernel gives back when it must */
};
int dt_cgroup_stats(struct dt_cgroup_root *r, const char *name, struct dt_cgroup_stats *stats,
                    struct dt_err *err) DT_MUST_CHECK;
/* The cpu time alone, which is all that is asked of many groups at once. */
int dt_cgroup_cpu(struct dt_cgroup_root *r, const char *name, uint64_t *usec,
                  struct dt_err *err) DT_MUST_CHECK;
/* How many processes the memory limit has killed so far. */
int dt_cgroup_oom_kills(struct dt_cgroup_root *r, const char *name, uint64_t *kills,
                        struct dt_err *err) DT_MUST_CHECK;

/* Process ids as the caller sees them, at most `max`; *n is how many. TOO_LARGE when there are
 * more. */
int dt_cgroup_pids(struct dt_cgroup_root *r, const char *name, pid_t *out, size_t max, size_t *n,
                   struct dt_err *err) DT_MUST_CHECK;
/* The process that is pid 1 of its own pid namespace, for taking over a running sandbox. Open a
 * pidfd and ask again before trusting the number. NOT_FOUND when there is none. */
int dt_cgroup_init_pid(struct dt_cgroup_root *r, const char *name, pid_t *ret,
                       struct dt_err *err) DT_MUST_CHECK;

#endif
