#include "runnerd/signed.h"

struct dt_signed_entry {
    struct dt_signed_entry *next;
    struct dt_signed_row row;
};

int dt_signed_add(struct dt_signed_table *t, const struct dt_signed_row *r, struct dt_err *err)
{
    if (t->count >= DT_SIGNED_MAX)
        return dt_err_set(err, DT_E_LIMIT, "too many signed preview links: let some expire first");
    struct dt_signed_entry *e = malloc(sizeof(*e));
    if (e == NULL)
        return dt_err_set(err, DT_E_NOMEM, "signed URL");
    *e = (struct dt_signed_entry){.next = t->buckets[r->hash[0]], .row = *r};
    t->buckets[r->hash[0]] = e;
    t->count++;
    return 0;
}

const struct dt_signed_row *dt_signed_find(const struct dt_signed_table *t, const char *token,
                                           int64_t now_ms)
{
    uint8_t hash[DT_HASH_SIZE];
    dt_hash(dt_str_z(token), hash);
    for (const struct dt_signed_entry *e = t->buckets[hash[0]]; e != NULL; e = e->next) {
        if (dt_equal_secret(e->row.hash, hash, sizeof(hash)))
            return e->row.expires_ms > now_ms ? &e->row : NULL;
    }
    return NULL;
}

static void drop(struct dt_signed_table *t, struct dt_signed_entry **at)
{
    struct dt_signed_entry *e = *at;
    *at = e->next;
    t->count--;
    free(e);
}

void dt_signed_remove(struct dt_signed_table *t, const uint8_t hash[DT_HASH_SIZE])
{
    for (struct dt_signed_entry **at = &t->buckets[hash[0]]; *at != NULL; at = &(*at)->next) {
        if (memcmp((*at)->row.hash, hash, DT_HASH_SIZE) == 0) {
            drop(t, at);
            return;
        }
    }
}

void dt_signed_sweep(struct dt_signed_table *t, const char *sandbox, int64_t now_ms)
{
    for (unsigned i = 0; i < DT_SIGNED_BUCKETS && t->count > 0; i++) {
        struct dt_signed_entry **at = &t->buckets[i];
        while (*at != NULL) {
            bool gone = (*at)->row.expires_ms <= now_ms ||
                        (sandbox != NULL && strcmp((*at)->row.sandbox, sandbox) == 0);
            if (gone)
                drop(t, at);
            else
                at = &(*at)->next;
        }
    }
}

void dt_signed_clear(struct dt_signed_table *t)
{
    for (unsigned i = 0; i < DT_SIGNED_BUCKETS; i++) {
        while (t->buckets[i] != NULL)
            drop(t, &t->buckets[i]);
    }
}
