#include "runnerd/live.h"

#include <stdio.h>

#include "base/clock.h"

/* There may be very many sandboxes. */
_Static_assert(DT_HISTORY_MAX * sizeof(struct dt_sample) + DT_SPANS_MAX * sizeof(struct dt_span) <=
                   11 << 10,
               "what docs/telemetry.md says that telemetry takes");

static unsigned bucket_of(const char *id)
{
    unsigned h = 2166136261u;
    for (; *id != '\0'; id++)
        h = (h ^ (unsigned char)*id) * 16777619u;
    return h % DT_LIVE_BUCKETS;
}

struct dt_live *dt_live_add(struct dt_live_table *t, const char *id, const char *org,
                            const char *name)
{
    struct dt_live *l = calloc(1, sizeof(*l));
    if (l == NULL || (l->name = strdup(name)) == NULL) {
        free(l);
        return NULL;
    }
    (void)snprintf(l->id, sizeof(l->id), "%s", id);
    (void)snprintf(l->org, sizeof(l->org), "%s", org);
    struct dt_live **head = &t->buckets[bucket_of(l->id)];
    l->next = *head;
    *head = l;
    t->count++;
    return l;
}

static void release(struct dt_live_table *t, struct dt_live *l)
{
    (void)dt_http_client_free(l->toolbox);
    dt_upstreams_close(l);
    dt_telemetry_forget(&t->telemetry, &l->telemetry);
    free(l->answer);
    free(l->name);
    free(l);
}

void dt_live_remove(struct dt_live_table *t, struct dt_live *l)
{
    struct dt_live **p = &t->buckets[bucket_of(l->id)];
    while (*p != l)
        p = &(*p)->next;
    *p = l->next;
    t->count--;
    release(t, l);
}

void dt_live_clear(struct dt_live_table *t)
{
    for (unsigned i = 0; i < DT_LIVE_BUCKETS; i++) {
        while (t->buckets[i] != NULL) {
            struct dt_live *l = t->buckets[i];
            t->buckets[i] = l->next;
            release(t, l);
        }
    }
    t->count = 0;
}

struct dt_live *dt_live_by_id(const struct dt_live_table *t, const char *id)
{
    struct dt_live *l = t->buckets[bucket_of(id)];
    while (l != NULL && strcmp(l->id, id) != 0)
        l = l->next;
    return l;
}

struct dt_live *dt_live_find(const struct dt_live_table *t, const char *org, const char *id_or_name)
{
    struct dt_live *l = dt_live_by_id(t, id_or_name);
    if (l != NULL && strcmp(l->org, org) == 0)
        return l;
    for (l = dt_live_next(t, NULL); l != NULL; l = dt_live_next(t, l)) {
        if (strcmp(l->name, id_or_name) == 0 && strcmp(l->org, org) == 0)
            return l;
    }
    return NULL;
}

struct dt_live *dt_live_next(const struct dt_live_table *t, const struct dt_live *l)
{
    if (l != NULL && l->next != NULL)
        return l->next;
    for (unsigned i = l == NULL ? 0 : bucket_of(l->id) + 1; i < DT_LIVE_BUCKETS; i++) {
        if (t->buckets[i] != NULL)
            return t->buckets[i];
    }
    return NULL;
}

bool dt_live_recoverable(const struct dt_live *l)
{
    return l->state == DT_SANDBOX_ERROR && l->desired != DT_DESIRED_DESTROYED &&
           (!l->lost || l->backup_ms > 0);
}

void dt_live_touch(struct dt_live *l)
{
    l->timers.activity_ms = dt_clock_real_ms();
    l->activity_dirty = true;
    dt_live_changed(l);
}

void dt_live_changed(struct dt_live *l)
{
    free(l->answer);
    l->answer = NULL;
    l->answer_size = 0;
    l->version++;
}

void dt_live_keep(struct dt_live *l, uint64_t version, struct dt_str answer)
{
    if (l->version != version || answer.n > DT_LIVE_ANSWER_MAX)
        return;
    char *copy = malloc(answer.n + 1);
    if (copy == NULL)
        return;
    memcpy(copy, answer.p, answer.n);
    copy[answer.n] = '\0';
    free(l->answer);
    l->answer = copy;
    l->answer_size = answer.n;
}
