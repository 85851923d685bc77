#include "toolbox/grep.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

enum { BEFORE = 1024 }; /* of a long line, shown in front of the text */

/* What is in the buffer: [0, have) of the file, beginning at a line, or with `open` somewhere in a
 * line that did not fit. */
struct state {
    const struct dt_grep *g;
    size_t have;
    uint64_t line; /* of buf[0] */
    bool open;
    bool told; /* the open line was matched already */
    bool eof;
};

static bool is_cancelled(const struct dt_grep *g)
{
    return g->cancelled != NULL && atomic_load_explicit(g->cancelled, memory_order_relaxed);
}

static int fill(struct state *s, int fd)
{
    while (s->have < s->g->size && !s->eof) {
        ssize_t n = read(fd, s->g->buf + s->have, s->g->size - s->have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        s->eof = n == 0;
        s->have += (size_t)n;
    }
    return 0;
}

static uint64_t count_lines(const char *p, size_t n)
{
    uint64_t lines = 0;
    const char *end = p + n, *at;
    while (p < end && (at = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        lines++;
        p = at + 1;
    }
    return lines;
}

/* Shows the line [from, to) with the needle at `hit`; `whole`: it has no other parts. */
static int tell(const struct state *s, uint64_t line, const char *from, const char *to,
                const char *hit, bool whole)
{
    if (whole && to > from && to[-1] == '\r')
        to--;
    bool cut = !whole || to - from > DT_GREP_LINE_MAX;
    if (hit + s->g->needle.n - from > DT_GREP_LINE_MAX)
        from = hit - BEFORE;
    size_t n = (size_t)(to - from);
    return s->g->match(s->g->ctx, line, dt_str(from, n < DT_GREP_LINE_MAX ? n : DT_GREP_LINE_MAX),
                       cut);
}

/* Searches [0, end), which ends behind a line, or in a line that does not fit. */
static int scan(struct state *s, size_t end)
{
    const struct dt_grep *g = s->g;
    const char *p = g->buf, *stop = g->buf + end, *counted = g->buf, *hit;
    uint64_t line = s->line;
    while (p < stop && (hit = memmem(p, (size_t)(stop - p), g->needle.p, g->needle.n)) != NULL) {
        const char *before = memrchr(p, '\n', (size_t)(hit - p));
        const char *from = before != NULL ? before + 1 : p;
        const char *to = memchr(hit, '\n', (size_t)(stop - hit));
        bool first = from == g->buf && s->open;
        bool last = to == NULL && !s->eof;
        if (to == NULL)
            to = stop;
        line += count_lines(counted, (size_t)(from - counted));
        counted = from;
        int r = first && s->told ? 0 : tell(s, line, from, to, hit, !first && !last);
        if (r != 0)
            return r;
        s->told = last;
        if (to == stop)
            break;
        p = to + 1;
    }
    return 0;
}

/* Drops what was searched and keeps what may be the beginning of more. */
static void advance(struct state *s, size_t end)
{
    const struct dt_grep *g = s->g;
    bool whole = end > 0 && g->buf[end - 1] == '\n';
    s->line += count_lines(g->buf, end);
    if (!whole)
        end -= g->needle.n - 1;
    if (whole)
        s->told = false;
    s->open = !whole;
    s->have -= end;
    memmove(g->buf, g->buf + end, s->have);
}

int dt_grep(const struct dt_grep *g, int fd)
{
    struct state s = {.g = g, .line = 1};
    assert(g->needle.n > 0 && g->needle.n <= g->size / 4);
    if (memchr(g->needle.p, '\n', g->needle.n) != NULL)
        return 0;
    for (bool first = true;; first = false) {
        if (fill(&s, fd) < 0)
            return -1;
        if (first && memchr(g->buf, '\0', s.have < DT_GREP_BINARY ? s.have : DT_GREP_BINARY))
            return 0;
        const char *nl = s.eof ? NULL : memrchr(g->buf, '\n', s.have);
        size_t end = nl != NULL ? (size_t)(nl - g->buf) + 1 : s.have;
        int r = scan(&s, end);
        if (r != 0 || s.eof || is_cancelled(g))
            return r;
        advance(&s, end);
    }
}
