/* The command line of daytona-launcher. */
#ifndef DT_LAUNCHER_OPTIONS_H
#define DT_LAUNCHER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Texts belong to argv. */
struct dt_launcher_options {
    const char *data_dir;
    const char *socket;
    const char *toolbox;
    const char *cgroup;
    int fd;
    uint32_t uid, gid;
    uint32_t bandwidth; /* Mbit/s of one sandbox; 0 = no limit */
    bool have_ids;
    bool once, worker, by_path, purge, hold;
};

extern const char dt_launcher_usage[];

/* Fails INVALID when they do not go together: the usage says what does. */
int dt_launcher_options_read(int argc, char **argv, struct dt_launcher_options *o,
                             struct dt_err *err) DT_MUST_CHECK;

#endif
