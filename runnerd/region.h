/*
 * Regions that organizations name. This server is one machine and has one region of its own, which
 * all share; theirs are names for sandboxes, with a preview proxy and an SSH gateway of their own
 * in front, if they say so. Those act with the region's keys, and for its sandboxes alone. A region
 * with registered runners (runnerd/remote.h) is a place elsewhere: no sandbox is made there. All of
 * them are in memory, changed after the commit. Loop only.
 */
#ifndef DT_REGION_H
#define DT_REGION_H

#include "base/rand.h"
#include "db/conn.h"
#include "json/route.h"
#include "model/token.h"

enum { DT_REGIONS_MAX = 100 }; /* of one organization */

struct dt_region {
    struct dt_region *next;
    char id[DT_UUID_SIZE];
    char org[DT_UUID_SIZE];
    char *name;
    char *proxy_url, *ssh_gateway_url; /* NULL: none */
    bool has_proxy_key, has_ssh_gateway_key;
    uint8_t proxy_key[DT_HASH_SIZE], ssh_gateway_key[DT_HASH_SIZE];
    int64_t created_ms, updated_ms;
};

struct dt_regions {
    struct dt_region *first;
};

/* NULL is fine. Returns NULL. */
struct dt_region *dt_region_free(struct dt_region *r);
DT_DEFINE_AUTO(struct dt_region *, dt_region_free)

/* Fills an empty table. */
int dt_regions_load(struct dt_regions *t, struct dt_db_conn *c, struct dt_err *err) DT_MUST_CHECK;
void dt_regions_clear(struct dt_regions *t);
/* Takes over `r`, in place of the one with its id. */
void dt_regions_put(struct dt_regions *t, struct dt_region *r);
void dt_regions_remove(struct dt_regions *t, const char *id);
void dt_regions_remove_of(struct dt_regions *t, const char *org);
/* By id or name, of that organization. NULL. */
const struct dt_region *dt_regions_find(const struct dt_regions *t, const char *org,
                                        const char *id_or_name);
/* By id, of any organization. NULL. */
const struct dt_region *dt_regions_by_id(const struct dt_regions *t, const char *id);
/* Whose key has this hash; *service is what it is the key of. NULL. */
const struct dt_region *dt_regions_by_key(const struct dt_regions *t,
                                          const uint8_t hash[DT_HASH_SIZE], uint32_t *service);

/* --- in the store, inside jobs --- */

/* CONFLICT: the organization has one of that name. FORBIDDEN: too many. */
int dt_store_region_add(struct dt_db_conn *c, const struct dt_region *r,
                        struct dt_err *err) DT_MUST_CHECK;
/* URLs and keys. NOT_FOUND. */
int dt_store_region_edit(struct dt_db_conn *c, const struct dt_region *r,
                         struct dt_err *err) DT_MUST_CHECK;
/* CONFLICT: it has sandboxes. */
int dt_store_region_delete(struct dt_db_conn *c, const struct dt_region *r,
                           struct dt_err *err) DT_MUST_CHECK;
/* One, owned by the caller. NOT_FOUND in the organization. */
int dt_store_region_get(struct dt_db_conn *c, const char *org, const char *id,
                        struct dt_region **ret, struct dt_err *err) DT_MUST_CHECK;

#endif
