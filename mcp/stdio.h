/*
 * Lines in and out of two descriptors on the loop: LF-terminated text, one message a line.
 *
 * Works on pipes, sockets, terminals, regular files and /dev/null. Output never blocks the loop;
 * while too much of it waits for the reader, no further input is read.
 */
#ifndef DT_STDIO_H
#define DT_STDIO_H

#include <uv.h>

#include "base/buf.h"

struct dt_stdio;

enum {
    DT_STDIO_LINE_IN_MAX = 16 * 1024 * 1024, /* longer input lines are skipped */
    DT_STDIO_LINE_OUT_MAX = 9 * 1024 * 1024, /* clients hang up at 10 MiB */
    DT_STDIO_HIGH_MARK = 16 * 1024 * 1024,   /* waiting output above which reading pauses */
};

struct dt_stdio_events {
    /* Without LF and CR; never empty or white space only. Borrowed for the call. */
    void (*on_line)(void *ctx, struct dt_str line);
    /* A line above the limit began; its rest is dropped without being kept. Once a line. */
    void (*on_too_long)(void *ctx);
    /* Input ended or the output's reader went away; everything that could be written at once was.
     * The last callback. */
    void (*on_end)(void *ctx);
};

/* The descriptors stay the caller's. `events` is kept by pointer. */
int dt_stdio_new(uv_loop_t *loop, int in, int out, const struct dt_stdio_events *events, void *ctx,
                 struct dt_stdio **ret, struct dt_err *err) DT_MUST_CHECK;
/* Closes the handles; the memory goes when the loop ran once more. Returns NULL. */
struct dt_stdio *dt_stdio_free(struct dt_stdio *s);

/* Queues `line` and an LF. Fails with TOO_LARGE above DT_STDIO_LINE_OUT_MAX, and then sends
 * nothing. */
int dt_stdio_send(struct dt_stdio *s, struct dt_str line, struct dt_err *err);
/* Whether so much output waits that optional messages should be left out. */
bool dt_stdio_is_congested(const struct dt_stdio *s);
/* Writes what waits, for at most `ms`; for the end of the process. */
void dt_stdio_flush(struct dt_stdio *s, int ms);

/* The line cutter alone, without descriptors. */
struct dt_lines {
    struct dt_buf part; /* of a line that is not complete yet */
    bool skipping;
};
void dt_lines_init(struct dt_lines *l, size_t max);
void dt_lines_done(struct dt_lines *l);
/* Calls on_line and on_too_long of `events` for what `p` completes. */
int dt_lines_feed(struct dt_lines *l, const char *p, size_t n, const struct dt_stdio_events *events,
                  void *ctx, struct dt_err *err) DT_MUST_CHECK;
/* The input ended: a last line without LF counts. */
void dt_lines_end(struct dt_lines *l, const struct dt_stdio_events *events, void *ctx);

#endif
