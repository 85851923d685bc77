/*
 * A child process in which bytes from outside are parsed. It has its own user namespace (ids
 * 0..65535 mapped to a range that nothing else uses), no network, no other processes, one folder as
 * its whole file system, only the capabilities that writing a file tree needs and those only over
 * its own ids, a short list of system calls, and limits on memory, descriptors and file size. It
 * talks through the descriptors that it is given; what it reports is as trustworthy as what it
 * parsed.
 */
#ifndef DT_JAIL_H
#define DT_JAIL_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* The first host id of the range: the 65,536 ids below those of sandboxes. */
#define DT_JAIL_ID_BASE 983040u

enum { DT_JAIL_REPORT_MAX = 64 }; /* bytes that the child's function can hand back */

struct dt_jail {
    pid_t pid; /* 0 = none */
    int report_fd;
};

struct dt_jail_spec {
    /* Runs in the child, with descriptors DT_JAIL_*; may fill `report`. */
    int (*run)(void *ctx, void *report, struct dt_err *err);
    void *ctx;
    int in, out; /* become DT_JAIL_IN and DT_JAIL_OUT; -1 = none */
    int rootfd;  /* the folder that becomes the root, writable; -1 = an empty read-only one */
    int userns;  /* from dt_jail_userns() */
};

enum { DT_JAIL_ROOT = 3, DT_JAIL_IN = 4, DT_JAIL_OUT = 5 };

/* A new user namespace, as a descriptor. The caller must be root and have one thread. */
int dt_jail_userns(int *ret, struct dt_err *err) DT_MUST_CHECK;
/* The caller keeps its descriptors, and must close its copies of `in` and `out` for ends of file to
 * be seen. Any number can run at once. */
int dt_jail_start(const struct dt_jail_spec *spec, struct dt_jail *ret,
                  struct dt_err *err) DT_MUST_CHECK;
/* Waits until the child reported and ended, at most timeout_ms; then kills it. Returns what run()
 * returned, with its error; `report` (DT_JAIL_REPORT_MAX bytes) may be NULL. */
int dt_jail_wait(struct dt_jail *j, uint64_t timeout_ms, void *report,
                 struct dt_err *err) DT_MUST_CHECK;
/* Kills and reaps, if that is still to be done. */
void dt_jail_kill(struct dt_jail *j);

#endif
