#include "toolbox/scrollback.h"

void dt_scrollback_init(struct dt_scrollback *s)
{
    *s = (struct dt_scrollback){.cut = false};
    dt_buf_init(&s->bytes, (size_t)2 * DT_SCROLLBACK_MAX);
}

void dt_scrollback_done(struct dt_scrollback *s)
{
    dt_buf_done(&s->bytes);
}

int dt_scrollback_add(struct dt_scrollback *s, const char *p, size_t n, struct dt_err *err)
{
    if (s->bytes.n + n > s->bytes.max) {
        dt_buf_consume(&s->bytes, s->bytes.n - DT_SCROLLBACK_MAX);
        s->cut = true;
    }
    return dt_buf_add(&s->bytes, p, n, err);
}

struct dt_str dt_scrollback_last(const struct dt_scrollback *s)
{
    struct dt_str all = dt_buf_str(&s->bytes);
    bool cut = s->cut || all.n > DT_SCROLLBACK_MAX;
    if (all.n > DT_SCROLLBACK_MAX)
        all = dt_str(all.p + all.n - DT_SCROLLBACK_MAX, DT_SCROLLBACK_MAX);
    const char *line = cut ? memchr(all.p, '\n', all.n) : NULL;
    return line == NULL ? all : dt_str(line + 1, all.n - (size_t)(line + 1 - all.p));
}
