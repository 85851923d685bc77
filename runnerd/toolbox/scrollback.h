/* The last of what a terminal printed, for those who come late. */
#ifndef DT_TOOLBOX_SCROLLBACK_H
#define DT_TOOLBOX_SCROLLBACK_H

#include "base/buf.h"

enum { DT_SCROLLBACK_MAX = 64 * 1024 };

struct dt_scrollback {
    struct dt_buf bytes; /* twice the maximum at most, so that a byte is moved once */
    bool cut;            /* it does not begin with the first byte */
};

/* In the caller's memory; allocates nothing. */
void dt_scrollback_init(struct dt_scrollback *s);
void dt_scrollback_done(struct dt_scrollback *s);
/* At most DT_SCROLLBACK_MAX bytes at once. Fails without memory only. */
int dt_scrollback_add(struct dt_scrollback *s, const char *p, size_t n,
                      struct dt_err *err) DT_MUST_CHECK;
/* At most DT_SCROLLBACK_MAX bytes; when it is not all, from the beginning of a line on, so that it
 * does not start within a character or an escape sequence. Borrowed until the next call. */
struct dt_str dt_scrollback_last(const struct dt_scrollback *s);

#endif
