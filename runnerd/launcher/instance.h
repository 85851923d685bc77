/*
 * Which of the host's 16 instances a data directory is: its ids, addresses and control groups
 * follow from the number. The directory remembers its number, because sandboxes that outlive the
 * launcher have it.
 */
#ifndef DT_LAUNCHER_INSTANCE_H
#define DT_LAUNCHER_INSTANCE_H

#include "base/err.h"

enum { DT_INSTANCES = 16, DT_INSTANCE_WAIT_S = 20 };

struct dt_instance {
    unsigned number;
    int data_lock; /* one launcher per data directory */
    int host_lock; /* one data directory per number */
};

struct dt_instance_opts {
    const char *data_dir;
    const char *cgroup; /* the base of its control groups, as in cgroup.h */
};

/* Numbers of other directories are only taken when nothing runs with them, or the directory is
 * gone: what still runs then is ended by dt_adopt().
 *
 * Waits DT_INSTANCE_WAIT_S for an earlier launcher of this directory, and its helpers, to end.
 * CONFLICT when it does not, LIMIT when all numbers are taken. The caller closes both locks, with
 * the process as a rule. */
int dt_instance_take(int data, const struct dt_instance_opts *opts, struct dt_instance *ret,
                     struct dt_err *err) DT_MUST_CHECK;

/* Nothing of this directory is left on the host: the number may go to any other. */
void dt_instance_release(const struct dt_instance *in);

#endif
