/* multipart/form-data (RFC 7578) as it comes in, in pieces of any size and bounded memory. */
#ifndef DT_TOOLBOX_MULTIPART_H
#define DT_TOOLBOX_MULTIPART_H

#include "base/buf.h"

enum { DT_MULTIPART_BOUNDARY_MAX = 200, DT_MULTIPART_HEAD_MAX = 16 * 1024 };

struct dt_multipart_events {
    /* A part begins. `name` and `filename` are decoded and terminated; NULL when absent. */
    void (*on_part)(void *ctx, const char *name, const char *filename);
    void (*on_data)(void *ctx, const char *p, size_t n);
    void (*on_part_end)(void *ctx);
};

struct dt_multipart {
    const struct dt_multipart_events *events;
    void *ctx;
    int state;
    struct dt_buf pending;
    char delimiter[DT_MULTIPART_BOUNDARY_MAX + 8];
    size_t delimiter_n;
};

/* `content_type` is the request's header; INVALID when it is not multipart/form-data with a
 * boundary. */
int dt_multipart_init(struct dt_multipart *m, struct dt_str content_type,
                      const struct dt_multipart_events *events, void *ctx,
                      struct dt_err *err) DT_MUST_CHECK;
void dt_multipart_done(struct dt_multipart *m);
int dt_multipart_feed(struct dt_multipart *m, const char *p, size_t n,
                      struct dt_err *err) DT_MUST_CHECK;
/* INVALID when the closing boundary did not come. */
int dt_multipart_end(struct dt_multipart *m, struct dt_err *err) DT_MUST_CHECK;

#endif
