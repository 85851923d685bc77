/* What an organization may use: its own figures, else the server's settings. */
#ifndef DT_QUOTA_H
#define DT_QUOTA_H

#include "gen/config_runnerd.h"
#include "runnerd/identity/directory.h"

/* `o` NULL: the settings alone. */
void dt_quotas_of(const struct dt_config_runnerd *config, const struct dt_org *o,
                  int64_t out[DT_QUOTAS]);

#endif
