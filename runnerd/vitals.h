/* What GET /system/metrics of a sandbox answers. Its control group is out of its own sight, so the
 * launcher is asked instead of its toolbox: twice, a moment apart, for the cpu's share. */
#ifndef DT_VITALS_H
#define DT_VITALS_H

#include "runnerd/runnerd.h"

enum { DT_VITALS_APART_MS = 200 };

/* Whether a request to a toolbox is this one; `target` is `/path?query` there. */
bool dt_vitals_asked(struct dt_http_req *req, struct dt_str target);
/* Takes over `req`, which has no on_done yet. `source` is that of errors, a literal. */
void dt_vitals_serve(struct dt_runnerd *rd, struct dt_http_req *req, const struct dt_live *l,
                     const char *source);

#endif
