/* What an interpreter or a charting program says: the first byte says in which pieces it comes. */
#include <assert.h>

#include "toolbox/json_lines.h"

struct seen {
    unsigned objects, bad;
};

static bool on_line(void *ctx, json_t *object, size_t size)
{
    struct seen *s = ctx;
    (void)size;
    if (object != NULL)
        s->objects++;
    else
        s->bad++;
    return s->bad < 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct seen feed(struct dt_str all, size_t piece)
{
    struct seen s = {0, 0};
    struct dt_json_lines lines;
    dt_json_lines_init(&lines, 256, 4);
    for (size_t at = 0; at < all.n && s.bad < 8; at += piece)
        dt_json_lines_feed(&lines, dt_str(all.p + at, all.n - at < piece ? all.n - at : piece),
                           on_line, &s);
    dt_json_lines_done(&lines);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct dt_str all = dt_str((const char *)data + 1, size - 1);
    struct seen whole = feed(all, all.n), parts = feed(all, data[0] == 0 ? 256 : data[0]);
    assert(whole.objects == parts.objects && whole.bad == parts.bad);
    return 0;
}
