/*
 * A sandbox's first process: cloned into its namespaces and its control group, set up, and turned
 * into the toolbox.
 *
 *   dt_box_clone   it exists and waits          (the caller then limits and records it)
 *   dt_box_go      it sets itself up and executes the toolbox
 *   dt_box_result  what came of it, when `status` is readable
 *
 * The toolbox has descriptor 3 (a listening socket), 4 (its configuration), 0-2 on /dev/null, an
 * empty environment, and no other.
 */
#ifndef DT_BOX_H
#define DT_BOX_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Everything is borrowed and only used during dt_box_clone; the child has copies. */
struct dt_box_spec {
    uint32_t base; /* host id of its id 0 */
    int host_netns;
    int netns;
    int cgroup;   /* v2 directory */
    int overlay;  /* from dt_overlay_new */
    int sysfs;    /* detached mount, or -1 */
    int listener; /* becomes 3 */
    int config;   /* becomes 4 */
    int toolbox;  /* executable memfd */
    uint64_t shm_bytes;
    const char *hostname;
    const struct sock_fprog *filter;
};

/* -1 = not there. */
struct dt_box {
    pid_t pid;
    int pidfd;
    int go;
    int status; /* non-blocking */
    bool ready; /* about to execute the toolbox */
};

int dt_box_clone(const struct dt_box_spec *spec, struct dt_box *box,
                 struct dt_err *err) DT_MUST_CHECK;
int dt_box_go(struct dt_box *box, struct dt_err *err) DT_MUST_CHECK;
/* 1 when the toolbox was executed, 0 when that is not known yet, -1 when it never will. The caller
 * closes `status`, after it has stopped polling it: children that were cloned meanwhile may have
 * copies until they execute. */
int dt_box_result(struct dt_box *box, struct dt_err *err) DT_MUST_CHECK;
/* Kills and reaps a child that has not been told to go; closes everything. */
void dt_box_abort(struct dt_box *box);

#endif
