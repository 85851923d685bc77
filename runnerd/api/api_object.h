/* Users, organizations and what belongs to them as the wire shows them. NULL without memory. */
#ifndef DT_API_OBJECT_H
#define DT_API_OBJECT_H

#include "runnerd/api/api.h"
#include "runnerd/identity/quota.h"

/* A list of wire strings, and the way back. */
json_t *dt_api_permissions_json(uint32_t permissions);
uint32_t dt_api_permissions(const json_t *list);

json_t *dt_api_key_json(const struct dt_key *k);
json_t *dt_api_user_json(const struct dt_user *u);
/* As its owners see it, or as all others do: they learn no values of its configurations. */
json_t *dt_api_org_json(const struct dt_runnerd *rd, const struct dt_org *o, bool owner);
/* Whether that is who asks. */
bool dt_api_owns(const struct dt_api_req *a, const struct dt_org *o);
/* Its configurations, opened. NULL: there is none, or it cannot be opened. */
json_t *dt_api_org_otel(const struct dt_runnerd *rd, const struct dt_org *o);
json_t *dt_api_org_experimental(const struct dt_runnerd *rd, const struct dt_org *o);
json_t *dt_api_role_json(const struct dt_role *r, bool global);
/* All that are there of these ids, built in or of `o`. */
json_t *dt_api_roles_json(const struct dt_runnerd *rd, const struct dt_org *o,
                          char (*ids)[DT_UUID_SIZE], size_t n);
json_t *dt_api_member_json(const struct dt_runnerd *rd, const struct dt_org *o,
                           const struct dt_member *m);

/* Answers with an object that may be NULL for lack of memory. */
void dt_api_reply_object(struct dt_api_req *a, json_t *object);
/* The organization of the call (a->who.org), or NULL when it was answered 404. */
struct dt_org *dt_api_org(struct dt_api_req *a);

#endif
