#include "model/history.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 8 };

struct dt_history {
    size_t n, room;
    struct dt_sample samples[];
};

/* Limits are what they are, and have no mean. */
static const bool is_mean[DT_GAUGE_COUNT] = {
    [DT_GAUGE_CPU_PERCENT] = true,
    [DT_GAUGE_MEMORY_USED] = true,
    [DT_GAUGE_MEMORY_CACHE] = true,
    [DT_GAUGE_DISK_USED] = true,
};

/* `b` is the later one and becomes both. */
static void merge(const struct dt_sample *a, struct dt_sample *b)
{
    double all = (double)a->span_ms + b->span_ms;
    double part = all > 0 ? a->span_ms / all : 0.5;
    for (int i = 0; i < DT_GAUGE_COUNT; i++) {
        if (is_mean[i])
            b->values[i] = (float)(a->values[i] * part + b->values[i] * (1 - part));
    }
    b->span_ms = all < UINT32_MAX ? a->span_ms + b->span_ms : UINT32_MAX;
}

/* Of which pair the first is; there are two samples at least. */
static size_t cheapest(const struct dt_history *h, int64_t now_ms)
{
    size_t best = 0;
    double least = 0;
    for (size_t i = 0; i + 1 < h->n; i++) {
        const struct dt_sample *a = &h->samples[i], *b = &h->samples[i + 1];
        double length = (double)(b->at_ms - a->at_ms) + a->span_ms;
        double cost = length / (double)(now_ms - a->at_ms + 1);
        if (i == 0 || cost < least) {
            best = i;
            least = cost;
        }
    }
    return best;
}

static void thin(struct dt_history *h, int64_t now_ms)
{
    size_t i = cheapest(h, now_ms);
    merge(&h->samples[i], &h->samples[i + 1]);
    memmove(&h->samples[i], &h->samples[i + 1], (h->n - i - 1) * sizeof(h->samples[0]));
    h->n--;
}

static int grow(struct dt_history **h, struct dt_err *err)
{
    size_t n = *h != NULL ? (*h)->n : 0, room = n > 0 ? n * 2 : FIRST_ROOM;
    if (room > DT_HISTORY_MAX)
        room = DT_HISTORY_MAX;
    struct dt_history *more = realloc(*h, sizeof(*more) + room * sizeof(more->samples[0]));
    if (more == NULL)
        return dt_err_set(err, DT_E_NOMEM, "history");
    more->n = n;
    more->room = room;
    *h = more;
    return 0;
}

int dt_history_add(struct dt_history **at, const struct dt_sample *s, struct dt_err *err)
{
    struct dt_sample now = *s;
    struct dt_history *h = *at;
    if (h != NULL && h->n > 0 && now.at_ms <= h->samples[h->n - 1].at_ms)
        now.at_ms = h->samples[h->n - 1].at_ms + 1;
    if (h != NULL && h->n == DT_HISTORY_MAX)
        thin(h, now.at_ms);
    else if ((h == NULL || h->n == h->room) && grow(at, err) < 0)
        return -1;
    h = *at;
    h->samples[h->n++] = now;
    return 0;
}

const struct dt_sample *dt_history_samples(const struct dt_history *h, size_t *n)
{
    *n = h != NULL ? h->n : 0;
    return h != NULL ? h->samples : NULL;
}

size_t dt_history_bytes(const struct dt_history *h)
{
    return h != NULL ? sizeof(*h) + h->room * sizeof(h->samples[0]) : 0;
}
