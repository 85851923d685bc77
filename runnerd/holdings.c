#include "runnerd/holdings.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

enum { BUCKETS = 256 };

struct entry {
    struct entry *next;
    char org[DT_UUID_SIZE];
    struct dt_resources sum;
};

struct dt_holdings {
    pthread_mutex_t lock;
    struct entry *buckets[BUCKETS];
};

int dt_holdings_new(struct dt_holdings **ret, struct dt_err *err)
{
    struct dt_holdings *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return dt_err_set(err, DT_E_NOMEM, "quotas");
    (void)pthread_mutex_init(&h->lock, NULL);
    *ret = h;
    return 0;
}

struct dt_holdings *dt_holdings_free(struct dt_holdings *h)
{
    if (h == NULL)
        return NULL;
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (h->buckets[i] != NULL) {
            struct entry *e = h->buckets[i];
            h->buckets[i] = e->next;
            free(e);
        }
    }
    (void)pthread_mutex_destroy(&h->lock);
    free(h);
    return NULL;
}

static struct entry **bucket_of(struct dt_holdings *h, const char *org)
{
    unsigned hash = 2166136261u;
    for (; *org != '\0'; org++)
        hash = (hash ^ (unsigned char)*org) * 16777619u;
    return &h->buckets[hash % BUCKETS];
}

/* NULL without memory. */
static struct entry *find(struct dt_holdings *h, const char *org, bool make)
{
    struct entry **b = bucket_of(h, org), *e = *b;
    while (e != NULL && strcmp(e->org, org) != 0)
        e = e->next;
    if (e != NULL || !make)
        return e;
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    (void)snprintf(e->org, sizeof(e->org), "%s", org);
    e->next = *b;
    *b = e;
    return e;
}

static void replace(struct entry *e, struct dt_resources *mine, const struct dt_resources *want)
{
    e->sum.cpu_millis += want->cpu_millis - mine->cpu_millis;
    e->sum.memory_mib += want->memory_mib - mine->memory_mib;
    e->sum.disk_mib += want->disk_mib - mine->disk_mib;
    *mine = *want;
}

/* What shrinks is never refused, whatever the sum. */
static bool fits(int64_t sum, int64_t mine, int64_t want, int64_t most)
{
    return want <= mine || sum - mine + want <= most;
}

static int check(const struct entry *e, const struct dt_resources *mine,
                 const struct dt_resources *want, const struct dt_resources *most,
                 struct dt_err *err)
{
    if (!fits(e->sum.cpu_millis, mine->cpu_millis, want->cpu_millis, most->cpu_millis))
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Total CPU limit exceeded. Maximum allowed: %" PRId64
                          ".\nStop or destroy a sandbox first",
                          most->cpu_millis / 1000);
    if (!fits(e->sum.memory_mib, mine->memory_mib, want->memory_mib, most->memory_mib))
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Total memory limit exceeded. Maximum allowed: %" PRId64
                          "GiB.\nStop or destroy a sandbox first",
                          most->memory_mib / 1024);
    if (!fits(e->sum.disk_mib, mine->disk_mib, want->disk_mib, most->disk_mib))
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Total disk limit exceeded. Maximum allowed: %" PRId64
                          "GiB.\nArchive or destroy a sandbox first",
                          most->disk_mib / 1024);
    return 0;
}

int dt_holdings_try(struct dt_holdings *h, const char *org, struct dt_resources *mine,
                    const struct dt_resources *want, const struct dt_resources *most,
                    struct dt_err *err)
{
    (void)pthread_mutex_lock(&h->lock);
    struct entry *e = find(h, org, true);
    int rc = e == NULL ? dt_err_set(err, DT_E_NOMEM, "quotas") : check(e, mine, want, most, err);
    if (rc == 0)
        replace(e, mine, want);
    (void)pthread_mutex_unlock(&h->lock);
    return rc;
}

void dt_holdings_set(struct dt_holdings *h, const char *org, struct dt_resources *mine,
                     const struct dt_resources *want)
{
    if (dt_resources_equal(mine, want))
        return;
    (void)pthread_mutex_lock(&h->lock);
    struct entry *e = find(h, org, true);
    if (e != NULL)
        replace(e, mine, want);
    (void)pthread_mutex_unlock(&h->lock);
}

struct dt_resources dt_holdings_of(struct dt_holdings *h, const char *org)
{
    struct dt_resources sum = {0};
    (void)pthread_mutex_lock(&h->lock);
    const struct entry *e = find(h, org, false);
    if (e != NULL)
        sum = e->sum;
    (void)pthread_mutex_unlock(&h->lock);
    return sum;
}
