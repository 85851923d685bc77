#include "runnerd/remote.h"

#include <math.h>

/* --- one of them --- */

struct dt_remote *dt_remote_new(void)
{
    struct dt_remote *r = calloc(1, sizeof(*r));
    for (int i = 0; r != NULL && i < DT_REMOTE_FIGURES; i++)
        r->figures[i] = NAN;
    return r;
}

struct dt_remote *dt_remote_free(struct dt_remote *r)
{
    if (r == NULL)
        return NULL;
    for (int i = 0; i < DT_REMOTE_TEXTS; i++)
        free(r->texts[i]);
    free(r);
    return NULL;
}

int dt_remote_set(struct dt_remote *r, enum dt_remote_text which, const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    if (text != NULL && copy == NULL)
        return -1;
    free(r->texts[which]);
    r->texts[which] = copy;
    return 0;
}

void dt_remote_set_key(struct dt_remote *r, struct dt_str text)
{
    dt_hash(text, r->key);
    dt_api_key_ends(text, r->prefix, r->suffix);
}

/* --- the table --- */

void dt_remotes_clear(struct dt_remotes *t)
{
    while (t->first != NULL) {
        struct dt_remote *r = t->first;
        t->first = r->next;
        (void)dt_remote_free(r);
    }
}

/* Where it stands in the list, or the list's end. */
static struct dt_remote **place_of(struct dt_remotes *t, const char *id)
{
    struct dt_remote **at = &t->first;
    while (*at != NULL && strcmp((*at)->id, id) != 0)
        at = &(*at)->next;
    return at;
}

void dt_remotes_put(struct dt_remotes *t, struct dt_remote *r)
{
    struct dt_remote **at = place_of(t, r->id);
    struct dt_remote *old = *at;
    r->next = old != NULL ? old->next : NULL;
    r->shown = old != NULL ? old->shown : DT_RUNNER_INITIALIZING;
    (void)dt_remote_free(old);
    *at = r;
}

void dt_remotes_remove(struct dt_remotes *t, const char *id)
{
    struct dt_remote **at = place_of(t, id);
    struct dt_remote *r = *at;
    if (r != NULL)
        *at = r->next;
    (void)dt_remote_free(r);
}

struct dt_remote *dt_remotes_find(const struct dt_remotes *t, const char *id)
{
    struct dt_remote *r = t->first;
    while (r != NULL && strcmp(r->id, id) != 0)
        r = r->next;
    return r;
}

const struct dt_remote *dt_remotes_by_key(const struct dt_remotes *t,
                                          const uint8_t hash[DT_HASH_SIZE])
{
    const struct dt_remote *r = t->first;
    while (r != NULL && !dt_equal_secret(r->key, hash, DT_HASH_SIZE))
        r = r->next;
    return r;
}

bool dt_remotes_in(const struct dt_remotes *t, const char *region)
{
    const struct dt_remote *r = t->first;
    while (r != NULL && strcmp(r->region, region) != 0)
        r = r->next;
    return r != NULL;
}
