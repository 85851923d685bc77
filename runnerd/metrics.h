/* What the server counts about itself, and the text that Prometheus reads (exposition format
 * 0.0.4). Loop only. */
#ifndef DT_METRICS_H
#define DT_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "gen/rest_api.h"

enum { DT_METRICS_BUCKETS = 13, DT_METRICS_STATUSES = 16 };

struct dt_histogram {
    uint64_t buckets[DT_METRICS_BUCKETS + 1]; /* each counts alone; the last one: all above */
    double sum_s;
};

struct dt_metrics {
    struct {
        struct {
            int code;
            uint64_t count;
        } statuses[DT_METRICS_STATUSES]; /* the last one takes what has no place */
        struct dt_histogram latency;
    } ops[DT_REST_OP_COUNT + 1]; /* the last one: what is no operation */
    struct dt_histogram create;  /* of sandboxes, from the request to `started` */
};

struct dt_runnerd;

void dt_metrics_request(struct dt_metrics *m, unsigned op, int status, uint64_t ns);
void dt_metrics_create(struct dt_metrics *m, uint64_t ns);
/* All of it, and what is so just now. */
int dt_metrics_print(const struct dt_runnerd *rd, struct dt_buf *out,
                     struct dt_err *err) DT_MUST_CHECK;

#endif
