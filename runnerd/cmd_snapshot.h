/* `daytona-runnerd snapshot import NAME FILE` and `snapshot list`. */
#ifndef DT_CMD_SNAPSHOT_H
#define DT_CMD_SNAPSHOT_H

#include "gen/config_runnerd.h"

/* Returns the program's exit code; says what it did on stdout, what failed on stderr. */
int dt_cmd_snapshot(const struct dt_config_runnerd *config, const char *data_dir, int nwords,
                    char **words);

#endif
