/*
 * The volumes of a sandbox on their way: as a request names them, as the row keeps them (a JSON
 * array of SandboxVolume, the volumes by their ids), as the launcher gets them.
 */
#ifndef DT_MOUNTS_H
#define DT_MOUNTS_H

#include "runnerd/launcher/wire.h"
#include "runnerd/store_volume.h"

struct dt_mounts;

/* Of a request's `volumes` (checked against its schema; NULL and an empty array give NULL), by the
 * rules of dt_mounts_check(). A copy: nothing is borrowed. */
int dt_mounts_new(const json_t *volumes, struct dt_mounts **ret, struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine. Returns NULL. */
struct dt_mounts *dt_mounts_free(struct dt_mounts *m);
DT_DEFINE_AUTO(struct dt_mounts *, dt_mounts_free)

/* On the store's thread: finds the volumes (NOT_FOUND, BAD_REQUEST when one is not ready), counts
 * them as used, and makes the row's text. `m` may be NULL. The caller owns *text. */
int dt_mounts_resolve(struct dt_db_conn *c, const char *org, const struct dt_mounts *m,
                      int64_t now_ms, char **text, struct dt_err *err) DT_MUST_CHECK;
/* Counts them as used when a sandbox is started again or forked, from its row's text. */
int dt_mounts_used(struct dt_db_conn *c, const char *text, int64_t now_ms,
                   struct dt_err *err) DT_MUST_CHECK;
/* Fills spec->volumes from a row's text; what lies inside another comes after it. */
int dt_mounts_request(const char *text, struct dt_lw_spec *spec, struct dt_err *err) DT_MUST_CHECK;

#endif
