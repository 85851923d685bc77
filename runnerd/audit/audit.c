#include "runnerd/audit/audit.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/utf8.h"
#include "runnerd/audit/store_audit.h"
#include "runnerd/keyfile.h"

enum { PRUNE_MAX = 10000, DAY_MS = 24 * 3600 * 1000 };

struct dt_audit {
    uint8_t key[DT_SECRET_SIZE];
    struct dt_db *db;
    int64_t retention_days;
    struct dt_audit_entry *open; /* all that are under way */
    bool tending;                /* a job of dt_audit_tick() waits or runs */
};

struct dt_audit_entry {
    struct dt_audit_entry *next;
    struct dt_audit_entry **prev; /* what points here */
    int64_t seq;
};

static void enter(struct dt_audit *a, struct dt_audit_entry *e, int64_t seq)
{
    e->seq = seq;
    e->prev = &a->open;
    e->next = a->open;
    if (e->next != NULL)
        e->next->prev = &e->next;
    a->open = e;
}

static void leave(struct dt_audit_entry *e)
{
    *e->prev = e->next;
    if (e->next != NULL)
        e->next->prev = e->prev;
}

/* --- life --- */

static int load_key(const char *data_dir, struct dt_db_conn *c, uint8_t key[DT_SECRET_SIZE],
                    struct dt_err *err)
{
    char path[4200], fresh[4210];
    if (dt_audit_key_path(data_dir, path) < 0)
        return dt_err_set(err, DT_E_INVALID, "data directory: the path is too long");
    struct dt_err why = {0};
    if (dt_keyfile_read(path, key, &why) == 0)
        return 0;
    if (why.sys_errno != ENOENT)
        return dt_err_set(err, why.code, "%s", why.msg);
    /* The key gets its name after the store has its seals: a key without seals means that somebody
     * took them away. */
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    if (dt_keyfile_load(fresh, key, err) < 0 || dt_db_begin(c, true, err) < 0)
        return -1;
    if (dt_store_audit_init(c, key, err) < 0 || dt_db_commit(c, err) < 0) {
        dt_db_rollback(c);
        return -1;
    }
    return renameat(AT_FDCWD, fresh, AT_FDCWD, path) < 0 ? dt_err_errno(err, "%s", path) : 0;
}

static int give_up(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE], struct dt_err *err)
{
    if (dt_db_begin(c, true, err) < 0)
        return -1;
    if (dt_store_audit_give_up(c, key, INT64_MAX, err) == 0 && dt_db_commit(c, err) == 0)
        return 0;
    dt_db_rollback(c);
    return -1;
}

int dt_audit_key_path(const char *data_dir, char out[4200])
{
    return snprintf(out, 4200, "%s/state/audit.key", data_dir) < 4200 ? 0 : -1;
}

int dt_audit_new(const char *data_dir, struct dt_db_conn *c, struct dt_audit **ret,
                 struct dt_err *err)
{
    DT_AUTO(dt_audit_free) struct dt_audit *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return dt_err_set(err, DT_E_NOMEM, "audit log");
    if (load_key(data_dir, c, a->key, err) < 0 || give_up(c, a->key, err) < 0)
        return dt_err_wrap(err, "audit log");
    *ret = dt_take(a);
    return 0;
}

struct dt_audit *dt_audit_free(struct dt_audit *a)
{
    if (a != NULL)
        explicit_bzero(a->key, sizeof(a->key));
    free(a);
    return NULL;
}

void dt_audit_start(struct dt_audit *a, struct dt_db *db, int64_t retention_days)
{
    a->db = db;
    a->retention_days = retention_days;
}

/* --- writing --- */

struct job {
    struct dt_audit *audit;
    struct dt_audit_record r;
    void (*done)(void *ctx, struct dt_audit_entry *entry, const struct dt_err *err);
    void *ctx;
    struct dt_audit_entry *entry;
    char id[DT_UUID_SIZE];
    struct dt_err why; /* it cannot be written; for the server's own log */
    char room[];       /* the texts */
};

static size_t kept(int text, const char *z)
{
    size_t max = text == DT_AUDIT_METADATA ? DT_AUDIT_METADATA_MAX : DT_AUDIT_TEXT_MAX;
    size_t n = strlen(z);
    if (n <= max)
        return n;
    if (text == DT_AUDIT_METADATA)
        return 0; /* half of it would be no JSON */
    while (max > 0 && ((unsigned char)z[max] & 0xc0) == 0x80)
        max--; /* not in the middle of a character */
    return max;
}

/* A job with copies of all texts; NULL without memory. */
static struct job *job_new(struct dt_audit *a, const struct dt_audit_record *what)
{
    size_t size = 0;
    for (int i = 0; i < DT_AUDIT_TEXTS; i++)
        size += what->texts[i] != NULL ? kept(i, what->texts[i]) + 1 : 0;
    struct job *j = calloc(1, sizeof(*j) + size);
    if (j == NULL)
        return NULL;
    char *at = j->room;
    j->audit = a;
    j->r = *what;
    j->r.at_ms = dt_clock_real_ms();
    for (int i = 0; i < DT_AUDIT_TEXTS; i++) {
        const char *z = what->texts[i];
        size_t n = z != NULL ? kept(i, z) : 0;
        if (z == NULL || (i == DT_AUDIT_METADATA && n == 0)) {
            j->r.texts[i] = NULL;
            continue;
        }
        memcpy(at, z, n);
        dt_utf8_mask(at); /* names of paths and what errors say of them may be anything */
        j->r.texts[i] = at;
        at += n + 1;
    }
    return j;
}

/* What clients are told. */
static int cannot_write(struct dt_err *err)
{
    return dt_err_set(err, DT_E_SYSTEM,
                      "the audit log cannot be written, so nothing was done: the server's own log "
                      "says why");
}

static int write_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct job *j = arg;
    return dt_store_audit_add(c, j->audit->key, &j->r, err);
}

/* What rests on it fails with it, and says the same. */
static int begin_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct job *j = arg;
    if (write_job(c, arg, err) == 0)
        return 0;
    j->why = *err;
    return cannot_write(err);
}

static void begun(void *arg, const struct dt_err *err)
{
    struct job *j = arg;
    struct dt_err why;
    struct dt_audit_entry *entry = err == NULL ? j->entry : NULL;
    if (err != NULL) {
        dt_log(DT_LOG_ERROR, "audit log", "action", j->r.texts[DT_AUDIT_ACTION], "err",
               j->why.code != DT_OK ? j->why.msg : err->msg, NULL);
        (void)cannot_write(&why);
        free(j->entry);
    } else {
        enter(j->audit, entry, j->r.seq);
    }
    j->done(j->ctx, entry, err != NULL ? &why : NULL);
    free(j);
}

int dt_audit_begin(struct dt_audit *a, const struct dt_audit_record *what,
                   void (*done)(void *ctx, struct dt_audit_entry *entry, const struct dt_err *err),
                   void *ctx, struct dt_db_base **base, struct dt_err *err)
{
    struct job *j = job_new(a, what);
    if (j == NULL || (j->entry = malloc(sizeof(*j->entry))) == NULL) {
        free(j);
        return dt_err_set(err, DT_E_NOMEM, "audit log");
    }
    dt_rand_uuid(j->id);
    j->r.texts[DT_AUDIT_ID] = j->id;
    j->r.begin = 0;
    j->r.status = -1;
    j->done = done;
    j->ctx = ctx;
    if ((base == NULL ? dt_db_submit(a->db, begin_job, j, begun, err)
                      : dt_db_submit_base(a->db, begin_job, j, begun, base, err)) == 0)
        return 0;
    free(j->entry);
    free(j);
    return -1;
}

static void ended(void *arg, const struct dt_err *err)
{
    /* It stays open, and is given up later. */
    if (err != NULL)
        dt_log(DT_LOG_ERROR, "audit log", "err", err->msg, NULL);
    free(arg);
}

void dt_audit_end(struct dt_audit *a, struct dt_audit_entry *entry, int status, const char *error,
                  const char *target)
{
    struct dt_err err;
    const struct dt_audit_record r = {
        .begin = entry->seq,
        .status = status,
        .texts = {[DT_AUDIT_ERROR] = error, [DT_AUDIT_TARGET] = target},
    };
    struct job *j = job_new(a, &r);
    leave(entry);
    free(entry);
    if (j == NULL)
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
    if (j == NULL || dt_db_submit(a->db, write_job, j, ended, &err) < 0)
        ended(j, &err);
}

/* --- by the clock --- */

struct tending {
    struct dt_audit *audit;
    size_t n;
    int64_t open[]; /* what is under way is not lost, however long it takes */
};

static struct tending *tending_new(struct dt_audit *a)
{
    size_t n = 0;
    for (const struct dt_audit_entry *e = a->open; e != NULL; e = e->next)
        n++;
    struct tending *t = malloc(sizeof(*t) + n * sizeof(t->open[0]));
    if (t == NULL)
        return NULL;
    t->audit = a;
    t->n = 0;
    for (const struct dt_audit_entry *e = a->open; e != NULL; e = e->next)
        t->open[t->n++] = e->seq;
    return t;
}

static int tend_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    const struct tending *t = arg;
    const struct dt_audit *a = t->audit;
    int64_t now = dt_clock_real_ms();
    for (size_t i = 0; i < t->n; i++) {
        if (dt_store_audit_keep_open(c, t->open[i], now, err) < 0)
            return -1;
    }
    if (dt_store_audit_give_up(c, a->key, now - DT_AUDIT_GIVE_UP_MS, err) < 0)
        return -1;
    if (a->retention_days == 0)
        return 0;
    return dt_store_audit_prune(c, a->key, now - a->retention_days * DAY_MS, PRUNE_MAX, err);
}

static void tended(void *arg, const struct dt_err *err)
{
    struct tending *t = arg;
    t->audit->tending = false;
    free(t);
    if (err != NULL)
        dt_log(DT_LOG_WARN, "audit log", "err", err->msg, NULL);
}

void dt_audit_tick(struct dt_audit *a)
{
    struct dt_err err;
    struct tending *t = a->tending ? NULL : tending_new(a);
    if (t == NULL)
        return; /* or without memory: the next time */
    a->tending = true;
    if (dt_db_submit(a->db, tend_job, t, tended, &err) < 0)
        tended(t, &err);
}
