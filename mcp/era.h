/*
 * Which protocol revision a request belongs to. Decided for each request: one that carries a
 * version in its _meta is modern and stands alone; all others belong to what `initialize` agreed
 * on.
 */
#ifndef DT_ERA_H
#define DT_ERA_H

#include "mcp/rpc.h"

enum dt_era {
    DT_ERA_NONE, /* nothing agreed on yet */
    DT_ERA_2024_11_05,
    DT_ERA_2025_03_26,
    DT_ERA_2025_06_18,
    DT_ERA_2025_11_25,
    DT_ERA_2026_07_28,
    DT_ERA_NEWEST_LEGACY = DT_ERA_2025_11_25,
    DT_ERA_MODERN = DT_ERA_2026_07_28,
};

const char *dt_era_text(enum dt_era era);
/* What `initialize` answers: the version asked for when it is a legacy one of ours, else the newest
 * legacy one. */
enum dt_era dt_era_negotiate(const char *asked);
/* The era of one request. `agreed` is what initialize made, or DT_ERA_NONE. Fails with what the
 * request must be answered: an unsupported version, or _meta members that are missing or of a wrong
 * type. */
int dt_era_of(const char *method, const json_t *params, enum dt_era agreed, enum dt_era *ret,
              struct dt_rpc_err *err) DT_MUST_CHECK;
/* Whether a batch (an array line) is allowed. */
bool dt_era_has_batches(enum dt_era agreed);

static inline bool dt_era_has_links(enum dt_era era)
{
    return era >= DT_ERA_2025_06_18;
}
static inline bool dt_era_has_progress_message(enum dt_era era)
{
    return era >= DT_ERA_2025_03_26;
}

#endif
