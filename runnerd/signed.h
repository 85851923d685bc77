/* Signed preview URLs: tokens that open one port of one sandbox for a while. The table mirrors the
 * store's rows, so that a preview request asks no disk. Loop only. */
#ifndef DT_SIGNED_H
#define DT_SIGNED_H

#include "runnerd/store.h"

enum { DT_SIGNED_BUCKETS = 256, DT_SIGNED_MAX = 20000 };

struct dt_signed_table {
    struct dt_signed_entry *buckets[DT_SIGNED_BUCKETS];
    size_t count;
};

/* LIMIT when there are too many. */
int dt_signed_add(struct dt_signed_table *t, const struct dt_signed_row *r,
                  struct dt_err *err) DT_MUST_CHECK;
/* NULL when unknown or over. Borrowed. */
const struct dt_signed_row *dt_signed_find(const struct dt_signed_table *t, const char *token,
                                           int64_t now_ms);
void dt_signed_remove(struct dt_signed_table *t, const uint8_t hash[DT_HASH_SIZE]);
/* Forgets those that are over, and those of `sandbox` when it is not NULL. */
void dt_signed_sweep(struct dt_signed_table *t, const char *sandbox, int64_t now_ms);
void dt_signed_clear(struct dt_signed_table *t);

#endif
