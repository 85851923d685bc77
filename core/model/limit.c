#include "model/limit.h"

#include <string.h>

#include "base/rand.h"

enum { SETS = 4096, WAYS = 4 };

struct window {
    struct dt_limit_name who;
    int64_t end_ms; /* 0: free */
    int64_t count;
};

struct dt_limits {
    uint64_t seed; /* so that nobody can choose who shares their place */
    struct window sets[SETS][WAYS];
};

struct dt_limits *dt_limits_new(void)
{
    struct dt_limits *l = calloc(1, sizeof(*l));
    if (l != NULL)
        dt_rand_bytes(&l->seed, sizeof(l->seed));
    return l;
}

struct dt_limits *dt_limits_free(struct dt_limits *l)
{
    free(l);
    return NULL;
}

static size_t set_of(const struct dt_limits *l, const struct dt_limit_name *who)
{
    uint64_t h = l->seed ^ who->what;
    for (size_t i = 0; i < sizeof(who->bytes); i++) {
        h = (h ^ who->bytes[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h % SETS;
}

static bool is_of(const struct window *w, const struct dt_limit_name *who, int64_t now_ms)
{
    return w->end_ms > now_ms && w->who.what == who->what &&
           memcmp(w->who.bytes, who->bytes, sizeof(who->bytes)) == 0;
}

static const struct window *find(const struct dt_limits *l, const struct dt_limit_name *who,
                                 int64_t now_ms)
{
    const struct window *set = l->sets[set_of(l, who)];
    for (int i = 0; i < WAYS; i++) {
        if (is_of(&set[i], who, now_ms))
            return &set[i];
    }
    return NULL;
}

/* A place that is free, over, or has counted the least. */
static struct window *make_room(struct dt_limits *l, const struct dt_limit_name *who,
                                int64_t now_ms)
{
    struct window *set = l->sets[set_of(l, who)], *least = &set[0];
    for (int i = 0; i < WAYS; i++) {
        if (set[i].end_ms <= now_ms)
            return &set[i];
        if (set[i].count < least->count)
            least = &set[i];
    }
    return least;
}

static struct dt_limit_state state_of(const struct window *w, struct dt_limit limit, int64_t count,
                                      int64_t now_ms)
{
    int64_t left = limit.count - count;
    return (struct dt_limit_state){
        .over = left<0, .remaining = left> 0 ? left : 0,
        .reset_ms = w != NULL ? w->end_ms - now_ms : limit.ttl_ms,
    };
}

struct dt_limit_state dt_limits_hit(struct dt_limits *l, const struct dt_limit_name *who,
                                    struct dt_limit limit, int64_t now_ms)
{
    if (l == NULL || limit.count <= 0 || limit.ttl_ms <= 0)
        return (struct dt_limit_state){0};
    struct window *w = (struct window *)(uintptr_t)find(l, who, now_ms);
    if (w == NULL) {
        w = make_room(l, who, now_ms);
        *w = (struct window){.who = *who, .end_ms = now_ms + limit.ttl_ms};
    }
    w->count++;
    return state_of(w, limit, w->count, now_ms);
}

struct dt_limit_state dt_limits_peek(const struct dt_limits *l, const struct dt_limit_name *who,
                                     struct dt_limit limit, int64_t now_ms)
{
    if (l == NULL || limit.count <= 0 || limit.ttl_ms <= 0)
        return (struct dt_limit_state){0};
    const struct window *w = find(l, who, now_ms);
    return state_of(w, limit, w != NULL ? w->count + 1 : 1, now_ms);
}
