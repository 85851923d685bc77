/* The preview proxy: hosts {port}-{sandbox}.{domain}, signed hosts, and /toolbox/{id}/ on the
 * domain itself. */
#ifndef DT_PREVIEW_SERVER_H
#define DT_PREVIEW_SERVER_H

#include "runnerd/runnerd.h"

/* For dt_http_server_new(); ctx is the struct dt_runnerd. */
void dt_preview_handle(void *ctx, struct dt_http_req *req);

#endif
