/* What cgroup.c and cgroup_root.c share: where the hierarchies are. */
#ifndef DT_CGROUP_ROOT_H
#define DT_CGROUP_ROOT_H

#include "os/cgroup.h"

enum dt_cgroup_controller { DT_CG_MEMORY, DT_CG_CPU, DT_CG_PIDS, DT_CG_LIMITING };
enum { DT_CGROUP_NAME_MAX = 64 };

struct dt_cgroup_root {
    char parent[DT_CGROUP_NAME_MAX + 16]; /* daytona-<instance> */
    int base;                             /* v2: where the parent group is in */
    int tree;                             /* v2: the parent group */
    /* The parent group in the controller's v1 hierarchy, and what it is in; -1 = it is a v2 one. */
    int v1_base[DT_CG_LIMITING];
    int v1[DT_CG_LIMITING];
    /* All sandboxes' processes are in this one v1 group; -1 = eBPF does it. What it is in is open
     * wherever there is such a hierarchy. */
    int v1_devices_base, v1_devices;
};

bool dt_cgroup_name_ok(const char *name);

#endif
