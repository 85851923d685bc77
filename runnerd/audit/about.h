/* What a record of the audit log says about a request: who sent it, from where, with what. */
#ifndef DT_ABOUT_H
#define DT_ABOUT_H

#include "runnerd/runnerd.h"

/* Holds some of the texts that a record borrows. */
struct dt_about {
    char address[DT_IP_TEXT_SIZE];
    char *agent, *source;
};

/* Sets actor, address, user agent and source of `r`; they stay until dt_about_done() and as long as
 * `who` and the directory do not change. */
void dt_about_init(struct dt_about *about, struct dt_runnerd *rd, struct dt_http_req *req,
                   const struct dt_principal *who, struct dt_audit_record *r);
void dt_about_done(struct dt_about *about);

/* The parameters of a route's path by their names, but those that the record tells elsewhere: a new
 * object, NULL without memory. */
json_t *dt_about_params(const struct dt_route *route, char *const *values, size_t n);
/* Adds `part` (stolen) to the metadata, unless it is empty. */
void dt_about_add(json_t *metadata, const char *name, json_t *part);

#endif
