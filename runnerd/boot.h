/* What a sandbox is started with: from its snapshot and the request that made it. */
#ifndef DT_BOOT_H
#define DT_BOOT_H

#include "runnerd/launcher/wire.h"
#include "runnerd/store.h"

enum { DT_BOOT_MAX = 256 * 1024 };

/* What an image runs by itself, its ENTRYPOINT and then its CMD: a new array of strings, empty when
 * it has neither, and when they are a shell alone; NULL without memory. `image` is the config of a
 * snapshot. */
struct json_t *dt_boot_entrypoint(const struct json_t *image);
/* Fills row->layers, boot, user and workdir of a new sandbox. `user` may be NULL (the image's); one
 * that is given must be there (named_user.h); `env` (an object of strings, may be NULL) goes over
 * the image's. `tools` (may be NULL) is the snapshot of layers that lie below every image. */
int dt_boot_make(struct dt_sandbox_row *row, const struct dt_snapshot_row *snapshot,
                 const struct dt_snapshot_row *tools, const char *user, const json_t *env,
                 struct dt_err *err) DT_MUST_CHECK;
/* Fills in everything of a new sandbox (id, org and name are set) but its state and times, as its
 * parent has it. */
int dt_boot_fork(struct dt_sandbox_row *row, const struct dt_sandbox_row *parent,
                 struct dt_err *err) DT_MUST_CHECK;
/* The launcher's request for a row, with all that it has. `limit`: the only networks that its
 * organization's sandboxes may reach, whatever the row says; NULL: all. */
int dt_boot_request(const struct dt_sandbox_row *row, const char *limit, uint32_t op,
                    struct dt_lw_request *r, struct dt_err *err) DT_MUST_CHECK;
/* The toolbox's configuration as a sealed memfd, with what is known at the start only: the resolver
 * (host byte order, 0 = none). Returns the descriptor. */
int dt_boot_memfd(const struct dt_sandbox_row *row, uint32_t resolver, struct dt_err *err);
/* A canonical UUID as bytes, and back. */
int dt_uuid_bytes(const char *id, uint8_t out[16]);
void dt_uuid_text(const uint8_t bytes[16], char out[DT_UUID_SIZE]);

#endif
