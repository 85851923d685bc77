/* What the machine has and uses. Opens what it reads at the start, before the program may open
 * nothing more. Loop only. */
#ifndef DT_HOST_H
#define DT_HOST_H

#include <stdint.h>

#include "base/err.h"

struct dt_host {
    int stat, meminfo, statm, fds, disk; /* descriptors of /proc and the data directory; -1: none */
    uint64_t busy, total;                /* cpu time at the last look, in ticks */
    double cpu_percent;                  /* between the last two looks */
};

struct dt_host_figures {
    double cpus, memory_gib, disk_gib;
    double cpu_percent, memory_percent, disk_percent, load;
};

struct dt_process_figures {
    uint64_t resident_bytes, virtual_bytes;
    uint64_t cpu_usec;
    unsigned open_files;
};

/* What cannot be opened stays 0 in the figures. */
void dt_host_open(struct dt_host *h, const char *data_dir);
void dt_host_close(struct dt_host *h);
/* Now and then: what the cpus did since the last time. */
void dt_host_tick(struct dt_host *h);
void dt_host_read(const struct dt_host *h, struct dt_host_figures *ret);
/* Of this program. */
void dt_host_read_process(const struct dt_host *h, struct dt_process_figures *ret);

#endif
