/* What clients do with marked text: leftmost marker first, bytes before the first one dropped. */
#ifndef DT_TEST_DEMUX_H
#define DT_TEST_DEMUX_H

#include <assert.h>

#include "base/buf.h"

struct demux {
    struct dt_buf streams[2];
};

static void demux(struct demux *d, struct dt_str s)
{
    int stream = -1;
    for (int i = 0; i < 2; i++)
        dt_buf_init(&d->streams[i], s.n);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if ((c == 1 || c == 2) && s.n - i >= 3 && s.p[i + 1] == c && s.p[i + 2] == c) {
            stream = c - 1;
            i += 2;
        } else if (stream >= 0) {
            int r = dt_buf_add(&d->streams[stream], &c, 1, NULL);
            assert(r == 0);
            (void)r;
        }
    }
}

static void demux_done(struct demux *d)
{
    for (int i = 0; i < 2; i++)
        dt_buf_done(&d->streams[i]);
}

#endif
