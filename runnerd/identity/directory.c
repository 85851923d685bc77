#include "runnerd/identity/directory.h"

static unsigned bucket_of_text(const char *z)
{
    unsigned h = 2166136261u;
    for (; *z != '\0'; z++)
        h = (h ^ (unsigned char)*z) * 16777619u;
    return h % DT_DIRECTORY_BUCKETS;
}

/* Hashes of secrets are as good as random. */
static unsigned bucket_of_hash(const uint8_t hash[DT_HASH_SIZE])
{
    return (hash[0] | (unsigned)hash[1] << 8) % DT_DIRECTORY_BUCKETS;
}

/* --- the objects --- */

struct dt_org *dt_org_free(struct dt_org *o)
{
    if (o == NULL)
        return NULL;
    free(o->otel.p);
    free(o->experimental.p);
    for (size_t i = 0; i < o->nroles; i++) {
        free(o->roles[i].name);
        free(o->roles[i].description);
    }
    for (size_t i = 0; i < o->nmembers; i++) {
        free(o->members[i].user);
        free(o->members[i].roles);
    }
    for (size_t i = 0; i < o->nkeys; i++) {
        free(o->keys[i].user);
        free(o->keys[i].name);
    }
    free(o->roles);
    free(o->members);
    free(o->keys);
    free(o->name);
    free(o->created_by);
    free(o->suspension_reason);
    free(o->default_region);
    free(o);
    return NULL;
}

struct dt_user *dt_user_free(struct dt_user *u)
{
    if (u == NULL)
        return NULL;
    free(u->id);
    free(u->name);
    free(u->email);
    free(u);
    return NULL;
}

struct dt_user *dt_user_copy(const struct dt_user *u)
{
    struct dt_user *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return NULL;
    *copy = *u;
    copy->next = NULL;
    copy->id = strdup(u->id);
    copy->name = strdup(u->name);
    copy->email = strdup(u->email);
    if (copy->id == NULL || copy->name == NULL || copy->email == NULL)
        return dt_user_free(copy);
    return copy;
}

void dt_directory_clear(struct dt_directory *d)
{
    for (unsigned i = 0; i < DT_DIRECTORY_BUCKETS; i++) {
        while (d->orgs[i] != NULL) {
            struct dt_org *o = d->orgs[i];
            d->orgs[i] = o->next;
            (void)dt_org_free(o);
        }
        while (d->users[i] != NULL) {
            struct dt_user *u = d->users[i];
            d->users[i] = u->next;
            (void)dt_user_free(u);
        }
    }
    for (size_t i = 0; i < d->nbuiltin; i++) {
        free(d->builtin[i].name);
        free(d->builtin[i].description);
    }
    free(d->builtin);
    memset(d, 0, sizeof(*d));
}

/* --- changes --- */

static void unlink_key(struct dt_directory *d, const struct dt_key *k)
{
    struct dt_key **p = &d->keys[bucket_of_hash(k->hash)];
    while (*p != k)
        p = &(*p)->next;
    *p = k->next;
}

static void link_key(struct dt_directory *d, struct dt_key *k, struct dt_org *o)
{
    struct dt_key **head = &d->keys[bucket_of_hash(k->hash)];
    k->org = o;
    k->next = *head;
    *head = k;
}

/* The store learns of uses later than we do. */
static void keep_last_used(struct dt_directory *d, struct dt_org *o)
{
    for (size_t i = 0; i < o->nkeys; i++) {
        const struct dt_key *old = dt_directory_key(d, o->keys[i].hash);
        if (old != NULL && old->last_used_ms > o->keys[i].last_used_ms)
            o->keys[i].last_used_ms = old->last_used_ms;
    }
}

void dt_directory_drop_org(struct dt_directory *d, const char *id)
{
    struct dt_org **p = &d->orgs[bucket_of_text(id)];
    while (*p != NULL && strcmp((*p)->id, id) != 0)
        p = &(*p)->next;
    if (*p == NULL)
        return;
    struct dt_org *o = *p;
    *p = o->next;
    for (size_t i = 0; i < o->nkeys; i++)
        unlink_key(d, &o->keys[i]);
    (void)dt_org_free(o);
}

void dt_directory_put_org(struct dt_directory *d, struct dt_org *o)
{
    keep_last_used(d, o);
    dt_directory_drop_org(d, o->id);
    struct dt_org **head = &d->orgs[bucket_of_text(o->id)];
    o->next = *head;
    *head = o;
    for (size_t i = 0; i < o->nkeys; i++)
        link_key(d, &o->keys[i], o);
}

void dt_directory_put_user(struct dt_directory *d, struct dt_user *u)
{
    struct dt_user **p = &d->users[bucket_of_text(u->id)];
    while (*p != NULL && strcmp((*p)->id, u->id) != 0)
        p = &(*p)->next;
    if (*p != NULL) {
        u->next = (*p)->next;
        (void)dt_user_free(*p);
    }
    *p = u;
}

/* --- questions --- */

struct dt_org *dt_directory_org(const struct dt_directory *d, const char *id)
{
    struct dt_org *o = d->orgs[bucket_of_text(id)];
    while (o != NULL && strcmp(o->id, id) != 0)
        o = o->next;
    return o;
}

struct dt_user *dt_directory_user(const struct dt_directory *d, const char *id)
{
    struct dt_user *u = d->users[bucket_of_text(id)];
    while (u != NULL && strcmp(u->id, id) != 0)
        u = u->next;
    return u;
}

struct dt_key *dt_directory_key(const struct dt_directory *d, const uint8_t hash[DT_HASH_SIZE])
{
    struct dt_key *k = d->keys[bucket_of_hash(hash)];
    while (k != NULL && !dt_equal_secret(k->hash, hash, DT_HASH_SIZE))
        k = k->next;
    return k;
}

struct dt_org *dt_directory_next_org(const struct dt_directory *d, const struct dt_org *o)
{
    if (o != NULL && o->next != NULL)
        return o->next;
    for (unsigned i = o == NULL ? 0 : bucket_of_text(o->id) + 1; i < DT_DIRECTORY_BUCKETS; i++) {
        if (d->orgs[i] != NULL)
            return d->orgs[i];
    }
    return NULL;
}

struct dt_user *dt_directory_next_user(const struct dt_directory *d, const struct dt_user *u)
{
    if (u != NULL && u->next != NULL)
        return u->next;
    for (unsigned i = u == NULL ? 0 : bucket_of_text(u->id) + 1; i < DT_DIRECTORY_BUCKETS; i++) {
        if (d->users[i] != NULL)
            return d->users[i];
    }
    return NULL;
}

static int by_age(int64_t a_ms, const char *a, int64_t b_ms, const char *b)
{
    return a_ms != b_ms ? (a_ms > b_ms ? 1 : -1) : strcmp(a, b);
}

static int org_by_age(const void *x, const void *y)
{
    const struct dt_org *a = *(const struct dt_org *const *)x;
    const struct dt_org *b = *(const struct dt_org *const *)y;
    return by_age(a->created_ms, a->id, b->created_ms, b->id);
}

static int user_by_age(const void *x, const void *y)
{
    const struct dt_user *a = *(const struct dt_user *const *)x;
    const struct dt_user *b = *(const struct dt_user *const *)y;
    return by_age(a->created_ms, a->id, b->created_ms, b->id);
}

int dt_directory_orgs_of(const struct dt_directory *d, const char *user, const struct dt_org ***ret,
                         size_t *n)
{
    size_t count = 0;
    for (struct dt_org *o = dt_directory_next_org(d, NULL); o != NULL;
         o = dt_directory_next_org(d, o))
        count += dt_org_member(o, user) != NULL;
    const struct dt_org **all = calloc(count + 1, sizeof(const struct dt_org *));
    if (all == NULL)
        return -1;
    size_t at = 0;
    for (struct dt_org *o = dt_directory_next_org(d, NULL); o != NULL;
         o = dt_directory_next_org(d, o)) {
        if (dt_org_member(o, user) != NULL)
            all[at++] = o;
    }
    qsort(all, count, sizeof(*all), org_by_age);
    *ret = all;
    *n = count;
    return 0;
}

int dt_directory_users(const struct dt_directory *d, const struct dt_user ***ret, size_t *n)
{
    size_t count = 0;
    for (struct dt_user *u = dt_directory_next_user(d, NULL); u != NULL;
         u = dt_directory_next_user(d, u))
        count++;
    const struct dt_user **all = calloc(count + 1, sizeof(const struct dt_user *));
    if (all == NULL)
        return -1;
    size_t at = 0;
    for (struct dt_user *u = dt_directory_next_user(d, NULL); u != NULL;
         u = dt_directory_next_user(d, u))
        all[at++] = u;
    qsort(all, count, sizeof(*all), user_by_age);
    *ret = all;
    *n = count;
    return 0;
}

struct dt_org *dt_directory_personal(const struct dt_directory *d, const char *user)
{
    struct dt_org *o = dt_directory_next_org(d, NULL);
    while (o != NULL && !(o->personal && strcmp(o->created_by, user) == 0))
        o = dt_directory_next_org(d, o);
    return o;
}

struct dt_member *dt_org_member(const struct dt_org *o, const char *user)
{
    for (size_t i = 0; i < o->nmembers; i++) {
        if (strcmp(o->members[i].user, user) == 0)
            return &o->members[i];
    }
    return NULL;
}

struct dt_key *dt_org_key(const struct dt_org *o, const char *user, const char *name)
{
    for (size_t i = 0; i < o->nkeys; i++) {
        if (strcmp(o->keys[i].user, user) == 0 && strcmp(o->keys[i].name, name) == 0)
            return &o->keys[i];
    }
    return NULL;
}

const struct dt_role *dt_directory_role(const struct dt_directory *d, const struct dt_org *o,
                                        const char *id)
{
    for (size_t i = 0; i < d->nbuiltin; i++) {
        if (strcmp(d->builtin[i].id, id) == 0)
            return &d->builtin[i];
    }
    for (size_t i = 0; o != NULL && i < o->nroles; i++) {
        if (strcmp(o->roles[i].id, id) == 0)
            return &o->roles[i];
    }
    return NULL;
}

bool dt_org_suspended(const struct dt_org *o, int64_t now_ms)
{
    return o->suspended_ms > 0 && (o->suspended_until_ms == 0 || now_ms < o->suspended_until_ms);
}
