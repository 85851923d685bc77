/* Docker registries in the store, all inside jobs (db/db.h). Passwords come and go sealed. */
#ifndef DT_STORE_REGISTRY_H
#define DT_STORE_REGISTRY_H

#include "base/rand.h"
#include "db/conn.h"

enum { DT_REGISTRIES_MAX = 100 }; /* of one organization */

/* Texts are borrowed, those that `each` gets while it runs. */
struct dt_registry_row {
    char id[DT_UUID_SIZE];
    char org[DT_UUID_SIZE];
    const char *name, *url, *username, *project, *type;
    struct dt_str password; /* sealed; .n == 0 keeps what is there */
    bool is_default;
    int64_t created_ms, updated_ms;
};

/* FORBIDDEN: the organization has too many. The default of a type is the only one. */
int dt_store_registry_add(struct dt_db_conn *c, const struct dt_registry_row *r,
                          struct dt_err *err) DT_MUST_CHECK;
/* Name, url, username, project, password. NOT_FOUND in the organization; this goes for the rest
 * (org NULL: in any). */
int dt_store_registry_edit(struct dt_db_conn *c, const struct dt_registry_row *r,
                           struct dt_err *err) DT_MUST_CHECK;
int dt_store_registry_delete(struct dt_db_conn *c, const char *org, const char *id,
                             struct dt_err *err) DT_MUST_CHECK;
int dt_store_registry_set_default(struct dt_db_conn *c, const char *id,
                                  struct dt_err *err) DT_MUST_CHECK;

typedef int dt_store_registry_each(void *ctx, const struct dt_registry_row *r, struct dt_err *err);
int dt_store_registry_get(struct dt_db_conn *c, const char *org, const char *id,
                          dt_store_registry_each *each, void *ctx,
                          struct dt_err *err) DT_MUST_CHECK;
/* Newest first. */
int dt_store_registry_list(struct dt_db_conn *c, const char *org, dt_store_registry_each *each,
                           void *ctx, struct dt_err *err) DT_MUST_CHECK;

#endif
