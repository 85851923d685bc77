/* The lines of a file that hold a text, in bounded memory whatever the length of its lines. */
#ifndef DT_TOOLBOX_GREP_H
#define DT_TOOLBOX_GREP_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum {
    DT_GREP_BINARY = 512,        /* a NUL among so many first bytes makes a file binary */
    DT_GREP_LINE_MAX = 64 * 1024 /* more of a line is not shown */
};

struct dt_grep {
    struct dt_str needle; /* not empty, at most a quarter of the buffer */
    char *buf;            /* borrowed, to work in */
    size_t size;
    const atomic_bool *cancelled; /* may be NULL */
    /* `content` has no end of line; `cut`: only the part around the text, the line is longer. May
     * hold bytes that are no UTF-8. Returns 0 to go on, anything else ends the search. */
    int (*match)(void *ctx, uint64_t line, struct dt_str content, bool cut);
    void *ctx;
};

/* Reads from the descriptor's position. Calls `match` once for each line (counted from 1) that
 * holds the needle. Binary files have no match. 0 at the end or when cancelled, the callback's
 * value when it ended it, -1 with errno when reading failed. */
int dt_grep(const struct dt_grep *g, int fd) DT_MUST_CHECK;

#endif
