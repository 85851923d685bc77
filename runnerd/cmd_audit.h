/* `daytona-runnerd audit verify`: whether the audit log is as it was written. */
#ifndef DT_CMD_AUDIT_H
#define DT_CMD_AUDIT_H

#include "gen/config_runnerd.h"

/* `words` begins with "audit". Returns an exit code: 1 when something is wrong with the log. */
int dt_cmd_audit(const struct dt_config_runnerd *config, const char *data_dir, int nwords,
                 char **words);

#endif
