#include "model/span.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 8 };

struct dt_spans {
    size_t n, room;
    size_t first; /* the oldest; not 0 only when all the room is in use */
    struct dt_span spans[];
};

static int grow(struct dt_spans **all, struct dt_err *err)
{
    size_t n = *all != NULL ? (*all)->n : 0, room = n > 0 ? n * 2 : FIRST_ROOM;
    struct dt_spans *more = realloc(*all, sizeof(*more) + room * sizeof(more->spans[0]));
    if (more == NULL)
        return dt_err_set(err, DT_E_NOMEM, "spans");
    more->n = n;
    more->room = room;
    more->first = 0;
    *all = more;
    return 0;
}

int dt_spans_add(struct dt_spans **at, const struct dt_span *s, struct dt_err *err)
{
    struct dt_spans *all = *at;
    if (all != NULL && all->n == DT_SPANS_MAX) {
        all->spans[all->first] = *s;
        all->first = (all->first + 1) % DT_SPANS_MAX;
        return 0;
    }
    if ((all == NULL || all->n == all->room) && grow(at, err) < 0)
        return -1;
    all = *at;
    all->spans[all->n++] = *s;
    return 0;
}

size_t dt_spans_count(const struct dt_spans *all)
{
    return all != NULL ? all->n : 0;
}

size_t dt_spans_bytes(const struct dt_spans *all)
{
    return all != NULL ? sizeof(*all) + all->room * sizeof(all->spans[0]) : 0;
}

const struct dt_span *dt_spans_at(const struct dt_spans *all, size_t i)
{
    return &all->spans[(all->first + i) % all->room];
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool dt_span_read_hex(struct dt_str text, uint8_t *out, size_t n)
{
    if (text.n != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = digit(text.p[2 * i]), low = digit(text.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

bool dt_span_read_parent(struct dt_str header, struct dt_span *s)
{
    uint8_t version, flags, trace[DT_TRACE_ID_SIZE], parent[DT_SPAN_ID_SIZE];
    struct dt_str rest = dt_str_trim(header), part[4];
    for (int i = 0; i < 4; i++) {
        if (!dt_str_cut(&rest, '-', &part[i]))
            return false;
    }
    if (!dt_span_read_hex(part[0], &version, 1) || version == 0xff ||
        (version == 0 && rest.p != NULL) || !dt_span_read_hex(part[1], trace, sizeof(trace)) ||
        !dt_span_read_hex(part[2], parent, sizeof(parent)) ||
        !dt_span_read_hex(part[3], &flags, 1) || is_zero(trace, sizeof(trace)) ||
        is_zero(parent, sizeof(parent)))
        return false;
    memcpy(s->trace, trace, sizeof(trace));
    memcpy(s->parent, parent, sizeof(parent));
    return true;
}
