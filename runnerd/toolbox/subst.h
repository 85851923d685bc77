/* Replaces a text in a stream of bytes, in bounded memory. */
#ifndef DT_TOOLBOX_SUBST_H
#define DT_TOOLBOX_SUBST_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct dt_subst {
    struct dt_str needle; /* not empty, at most half of the buffer */
    struct dt_str value;
    char *buf; /* borrowed, to work in */
    size_t size;
    const atomic_bool *cancelled; /* may be NULL */
};

/* Whether the needle occurs between the descriptor's position and its end. */
int dt_subst_find(const struct dt_subst *s, int fd, bool *found, struct dt_err *err) DT_MUST_CHECK;
/* Gives everything from the descriptor's position on to `put`, with the value for each needle, from
 * the first to the last without overlap. -1 when reading or `put` fails, CANCELLED. */
int dt_subst_copy(const struct dt_subst *s, int fd,
                  int (*put)(void *ctx, const char *p, size_t n, struct dt_err *err), void *ctx,
                  struct dt_err *err) DT_MUST_CHECK;

#endif
