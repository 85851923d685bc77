/* JSON objects, one a line, from a program that may send anything. */
#ifndef DT_TOOLBOX_JSON_LINES_H
#define DT_TOOLBOX_JSON_LINES_H

#include "json/json.h"

struct dt_json_lines {
    struct dt_buf line; /* the part that has come of it; its maximum is a line's */
    bool skipping;      /* the rest of a line that is too long */
    size_t max_depth;
};

void dt_json_lines_init(struct dt_json_lines *l, size_t line_max, size_t max_depth);
void dt_json_lines_done(struct dt_json_lines *l);
/* Calls on_line for each line that has come to its end, with the bytes it took: `object` is
 * borrowed and NULL when the line is no JSON object, or as soon as it is too long. on_line says
 * whether to go on; when not, what is behind is dropped. dt_json_lines_done() is allowed in it. */
void dt_json_lines_feed(struct dt_json_lines *l, struct dt_str bytes,
                        bool (*on_line)(void *ctx, json_t *object, size_t size), void *ctx);

#endif
