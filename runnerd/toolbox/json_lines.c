#include "toolbox/json_lines.h"

void dt_json_lines_init(struct dt_json_lines *l, size_t line_max, size_t max_depth)
{
    *l = (struct dt_json_lines){.max_depth = max_depth};
    dt_buf_init(&l->line, line_max);
}

void dt_json_lines_done(struct dt_json_lines *l)
{
    dt_buf_done(&l->line);
    l->skipping = false;
}

static bool end_line(struct dt_json_lines *l,
                     bool (*on_line)(void *ctx, json_t *object, size_t size), void *ctx)
{
    /* Taken out first: the callback may be the end of `l`. */
    DT_AUTO_BUF struct dt_buf line = l->line;
    struct dt_err err;
    dt_buf_init(&l->line, line.max);
    DT_AUTO_JSON json_t *j = dt_json_parse(dt_buf_str(&line), l->max_depth, &err);
    return on_line(ctx, json_is_object(j) ? j : NULL, line.n);
}

void dt_json_lines_feed(struct dt_json_lines *l, struct dt_str bytes,
                        bool (*on_line)(void *ctx, json_t *object, size_t size), void *ctx)
{
    struct dt_str rest = bytes, part;
    bool go_on = true;
    while (go_on && rest.n > 0 && dt_str_cut(&rest, '\n', &part)) {
        bool whole = rest.p != NULL;
        if (!l->skipping && dt_buf_adds(&l->line, part, NULL) < 0) {
            l->skipping = true;
            dt_buf_done(&l->line);
            go_on = on_line(ctx, NULL, 0);
        } else if (whole && !l->skipping) {
            go_on = end_line(l, on_line, ctx);
        }
        if (whole)
            l->skipping = false;
    }
}
