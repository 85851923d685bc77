/* The folder layers/ of a data directory, while one import holds it. */
#ifndef DT_STORE_H
#define DT_STORE_H

#include "oci/archive.h"
#include "oci/layer.h"

struct dt_store {
    int dir;  /* layers/ */
    int lock; /* layers/.lock, held */
    int userns;
};

/* Makes what is missing, takes the lock and removes what an interrupted import left. */
int dt_store_open(int data_dirfd, struct dt_store *ret, struct dt_err *err) DT_MUST_CHECK;
void dt_store_done(struct dt_store *s);
#define DT_AUTO_STORE __attribute__((unused, cleanup(dt_store_done)))

struct dt_store_layer {
    struct dt_blob blob; /* borrowed */
    const char *digest;  /* of the blob, hexadecimal; NULL = nobody said */
    const char *diff_id; /* of the tar */
    const char *chain;
    bool has_lower;
    bool need_end; /* the tar must have its end marker */
};

bool dt_store_has(const struct dt_store *s, const char *chain);
/* Unpacks, verifies and publishes one layer. INVALID when a digest is wrong. */
int dt_store_add(const struct dt_store *s, const struct dt_store_layer *layer,
                 struct dt_layer_stats *stats, struct dt_err *err) DT_MUST_CHECK;
/* The bytes on disk of a layer that is there. */
int dt_store_size(const struct dt_store *s, const char *chain, uint64_t *ret,
                  struct dt_err *err) DT_MUST_CHECK;

#endif
