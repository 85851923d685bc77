#include "runnerd/audit/store_audit.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/rand.h"

#define TEXTS                                                                                      \
    "id, actor_id, actor_email, key_prefix, key_suffix, organization_id, action, target_type, "    \
    "target_id, address, user_agent, source, metadata, error"

/* --- seals --- */

static int put_seal(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE], const char *name,
                    int64_t seq, const uint8_t hash[DT_HASH_SIZE], struct dt_err *err)
{
    uint8_t mac[DT_HASH_SIZE];
    dt_audit_seal(key, name, seq, hash, mac);
    return dt_db_run(c,
                     "INSERT INTO audit_seal VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE "
                     "SET seq = ?2, hash = ?3, mac = ?4",
                     DT_DB_ARGS(dt_db_t(name), dt_db_i(seq), dt_db_b(hash, DT_HASH_SIZE),
                                dt_db_b(mac, sizeof(mac))),
                     NULL, err);
}

int dt_store_audit_seal(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE], const char *name,
                        struct dt_audit_end_seal *ret, struct dt_err *err)
{
    uint8_t want[DT_HASH_SIZE];
    struct dt_db_rows *q;
    *ret = (struct dt_audit_end_seal){0};
    if (dt_db_query(c, "SELECT seq, hash, mac FROM audit_seal WHERE name = ?1",
                    DT_DB_ARGS(dt_db_t(name)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    if (got > 0) {
        struct dt_str hash = dt_db_blob(q, 1), mac = dt_db_blob(q, 2);
        ret->seq = dt_db_int(q, 0);
        if (hash.n == DT_HASH_SIZE && mac.n == DT_HASH_SIZE) {
            memcpy(ret->hash, hash.p, DT_HASH_SIZE);
            dt_audit_seal(key, name, ret->seq, ret->hash, want);
            ret->sealed = dt_equal_secret(want, mac.p, DT_HASH_SIZE);
        }
    }
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

int dt_store_audit_init(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE], struct dt_err *err)
{
    static const uint8_t nothing[DT_HASH_SIZE];
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT EXISTS (SELECT 1 FROM audit_seal) OR EXISTS (SELECT 1 FROM audit)",
                    NULL, &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    bool used = got > 0 && dt_db_int(q, 0) != 0;
    dt_db_end(q);
    if (got < 0)
        return -1;
    if (used)
        return 0;
    if (put_seal(c, key, "first", 0, nothing, err) < 0)
        return -1;
    return put_seal(c, key, "last", 0, nothing, err);
}

/* --- adding --- */

static int insert(struct dt_db_conn *c, const struct dt_audit_record *r,
                  const uint8_t previous[DT_HASH_SIZE], const uint8_t hash[DT_HASH_SIZE],
                  struct dt_err *err)
{
    struct dt_db_arg args[4 + DT_AUDIT_TEXTS + 2 + 1] = {
        dt_db_i(r->seq),
        r->begin > 0 ? dt_db_i(r->begin) : dt_db_null(),
        dt_db_i(r->at_ms),
        r->status >= 0 ? dt_db_i(r->status) : dt_db_null(),
    };
    for (int i = 0; i < DT_AUDIT_TEXTS; i++)
        args[4 + i] = dt_db_t(r->texts[i]);
    args[4 + DT_AUDIT_TEXTS] = dt_db_b(previous, DT_HASH_SIZE);
    args[5 + DT_AUDIT_TEXTS] = dt_db_b(hash, DT_HASH_SIZE);
    return dt_db_run(c,
                     "INSERT INTO audit (seq, begin_seq, at_ms, status, " TEXTS
                     ", previous, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, "
                     "?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
                     args, NULL, err);
}

static int chain(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE],
                 struct dt_audit_end_seal *last, struct dt_audit_record *r, struct dt_err *err)
{
    uint8_t hash[DT_HASH_SIZE];
    r->seq = last->seq + 1;
    dt_audit_hash(last->hash, r, hash);
    if (insert(c, r, last->hash, hash, err) < 0 || put_seal(c, key, "last", r->seq, hash, err) < 0)
        return -1;
    last->seq = r->seq;
    memcpy(last->hash, hash, sizeof(hash));
    return 0;
}

/* The last record that is there, whatever the seal says; zeros when there is none. */
static int find_last(struct dt_db_conn *c, struct dt_audit_end_seal *ret, struct dt_err *err)
{
    struct dt_db_rows *q;
    *ret = (struct dt_audit_end_seal){0};
    if (dt_db_query(c, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", NULL, &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    if (got > 0) {
        struct dt_str hash = dt_db_blob(q, 1);
        ret->seq = dt_db_int(q, 0);
        memcpy(ret->hash, hash.p, hash.n < DT_HASH_SIZE ? hash.n : DT_HASH_SIZE);
    }
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

/* A false seal stops nobody's work: from here on the log goes on, and says that it was broken. */
static int mend(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE],
                struct dt_audit_end_seal *last, struct dt_err *err)
{
    char id[DT_UUID_SIZE];
    dt_rand_uuid(id);
    struct dt_audit_record r = {
        .at_ms = dt_clock_real_ms(),
        .status = -1,
        .texts = {[DT_AUDIT_ID] = id,
                  [DT_AUDIT_ACTOR] = "daytona-runnerd",
                  [DT_AUDIT_EMAIL] = "",
                  [DT_AUDIT_ACTION] = DT_AUDIT_BROKEN},
    };
    return find_last(c, last, err) < 0 ? -1 : chain(c, key, last, &r, err);
}

static int begin_chain(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE],
                       struct dt_audit_end_seal *last, struct dt_err *err)
{
    if (dt_store_audit_seal(c, key, "last", last, err) < 0)
        return -1;
    return last->sealed ? 0 : mend(c, key, last, err);
}

/* *live says whether the action was still open. */
static int close_open(struct dt_db_conn *c, int64_t begin, bool *live, struct dt_err *err)
{
    int64_t changed = 0;
    int run = dt_db_run(c, "DELETE FROM audit_open WHERE seq = ?1", DT_DB_ARGS(dt_db_i(begin)),
                        &changed, err);
    *live = changed > 0;
    return run;
}

int dt_store_audit_add(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE],
                       struct dt_audit_record *r, struct dt_err *err)
{
    struct dt_audit_end_seal last;
    bool live = true;
    if (r->begin > 0 && close_open(c, r->begin, &live, err) < 0)
        return -1;
    if (!live)
        return 0;
    if (begin_chain(c, key, &last, err) < 0 || chain(c, key, &last, r, err) < 0)
        return -1;
    if (r->begin > 0)
        return 0;
    return dt_db_run(c, "INSERT INTO audit_open VALUES (?1, ?2)",
                     DT_DB_ARGS(dt_db_i(r->seq), dt_db_i(r->at_ms)), NULL, err);
}

/* --- actions without an end --- */

/* 0: there is none. */
static int next_open(struct dt_db_conn *c, int64_t before_ms, int64_t *seq, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT seq FROM audit_open WHERE at_ms < ?1 ORDER BY seq LIMIT 1",
                    DT_DB_ARGS(dt_db_i(before_ms)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    *seq = got > 0 ? dt_db_int(q, 0) : 0;
    dt_db_end(q);
    return got;
}

int dt_store_audit_keep_open(struct dt_db_conn *c, int64_t seq, int64_t now_ms, struct dt_err *err)
{
    return dt_db_run(c, "UPDATE audit_open SET at_ms = ?2 WHERE seq = ?1",
                     DT_DB_ARGS(dt_db_i(seq), dt_db_i(now_ms)), NULL, err);
}

int dt_store_audit_give_up(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE],
                           int64_t before_ms, struct dt_err *err)
{
    struct dt_audit_record r = {
        .at_ms = dt_clock_real_ms(),
        .status = 0,
        .texts = {[DT_AUDIT_ERROR] = "the server does not know what became of it"},
    };
    int got;
    while ((got = next_open(c, before_ms, &r.begin, err)) > 0) {
        if (dt_store_audit_add(c, key, &r, err) < 0)
            return -1;
    }
    return got;
}

/* --- removing the oldest --- */

/* The last record to go, and its hash; seq 0: nothing is that old. */
static int find_cut(struct dt_db_conn *c, const struct dt_audit_end_seal *first, int64_t before_ms,
                    int64_t max, struct dt_audit_end_seal *cut, struct dt_err *err)
{
    struct dt_db_rows *q;
    *cut = *first;
    if (dt_db_query(c, "SELECT seq, hash, at_ms FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2",
                    DT_DB_ARGS(dt_db_i(first->seq), dt_db_i(max)), &q, err) < 0)
        return -1;
    int got;
    while ((got = dt_db_next(q, err)) > 0 && dt_db_int(q, 2) < before_ms) {
        struct dt_str hash = dt_db_blob(q, 1);
        cut->seq = dt_db_int(q, 0);
        memcpy(cut->hash, hash.p, hash.n < DT_HASH_SIZE ? hash.n : DT_HASH_SIZE);
    }
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

int dt_store_audit_prune(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE], int64_t before_ms,
                         int64_t max, struct dt_err *err)
{
    struct dt_audit_end_seal first, cut;
    if (dt_store_audit_seal(c, key, "first", &first, err) < 0)
        return -1;
    /* What is broken stays for whoever looks into it. */
    if (!first.sealed)
        return 0;
    if (find_cut(c, &first, before_ms, max, &cut, err) < 0)
        return -1;
    if (cut.seq == first.seq)
        return 0;
    if (dt_db_run(c, "DELETE FROM audit WHERE seq <= ?1", DT_DB_ARGS(dt_db_i(cut.seq)), NULL, err) <
            0 ||
        dt_db_run(c, "DELETE FROM audit_open WHERE seq <= ?1", DT_DB_ARGS(dt_db_i(cut.seq)), NULL,
                  err) < 0)
        return -1;
    return put_seal(c, key, "first", cut.seq, cut.hash, err);
}

/* --- reading --- */

static void read_record(struct dt_db_rows *q, struct dt_audit_record *r)
{
    *r = (struct dt_audit_record){
        .seq = dt_db_int(q, 0),
        .begin = dt_db_int(q, 1),
        .at_ms = dt_db_int(q, 2),
        .status = dt_db_is_null(q, 3) ? -1 : dt_db_int(q, 3),
    };
    for (int i = 0; i < DT_AUDIT_TEXTS; i++)
        r->texts[i] = dt_db_text(q, 4 + i);
}

#define MATCHES "b.begin_seq IS NULL AND b.at_ms BETWEEN ?2 AND ?3 "
#define OF_ORG  "b.organization_id = ?1 AND " MATCHES
#define OF_ALL  "?1 IS NULL AND " MATCHES
#define SELECT_ACTION                                                                              \
    "SELECT b.seq, 0, b.at_ms, e.status, b.id, b.actor_id, b.actor_email, b.key_prefix, "          \
    "b.key_suffix, b.organization_id, b.action, b.target_type, coalesce(e.target_id, "             \
    "b.target_id), b.address, b.user_agent, b.source, b.metadata, e.error FROM audit AS b "        \
    "LEFT JOIN audit AS e ON e.begin_seq = b.seq WHERE "
#define PAGE                                                                                       \
    "AND (?4 = 0 OR (b.at_ms, b.seq) < (?5, ?4)) ORDER BY b.at_ms DESC, b.seq DESC "               \
    "LIMIT ?6 OFFSET ?7"

static int count(struct dt_db_conn *c, const struct dt_audit_filter *f, int64_t *ret,
                 struct dt_err *err)
{
    static const char of_org[] = "SELECT count(*) FROM audit AS b WHERE " OF_ORG;
    static const char of_all[] = "SELECT count(*) FROM audit AS b WHERE " OF_ALL;
    struct dt_db_rows *q;
    if (dt_db_query(c, f->org != NULL ? of_org : of_all,
                    DT_DB_ARGS(dt_db_t(f->org), dt_db_i(f->from_ms), dt_db_i(f->to_ms)), &q,
                    err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    *ret = got > 0 ? dt_db_int(q, 0) : 0;
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

int dt_store_audit_list(struct dt_db_conn *c, const struct dt_audit_filter *f,
                        int (*each)(void *ctx, const struct dt_audit_record *r, struct dt_err *err),
                        void *ctx, int64_t *total, struct dt_err *err)
{
    static const char of_org[] = SELECT_ACTION OF_ORG PAGE;
    static const char of_all[] = SELECT_ACTION OF_ALL PAGE;
    struct dt_db_rows *q;
    if (count(c, f, total, err) < 0 ||
        dt_db_query(c, f->org != NULL ? of_org : of_all,
                    DT_DB_ARGS(dt_db_t(f->org), dt_db_i(f->from_ms), dt_db_i(f->to_ms),
                               dt_db_i(f->after), dt_db_i(f->after_ms), dt_db_i(f->limit),
                               dt_db_i(f->offset)),
                    &q, err) < 0)
        return -1;
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        struct dt_audit_record r;
        read_record(q, &r);
        if (each(ctx, &r, err) < 0) {
            got = -1;
            break;
        }
    }
    dt_db_end(q);
    return got;
}

int dt_store_audit_walk(struct dt_db_conn *c,
                        int (*each)(void *ctx, const struct dt_audit_row *row, struct dt_err *err),
                        void *ctx, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT seq, begin_seq, at_ms, status, " TEXTS
                    ", previous, hash FROM audit ORDER BY seq",
                    NULL, &q, err) < 0)
        return -1;
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        struct dt_audit_row row;
        read_record(q, &row.r);
        row.previous = dt_db_blob(q, 4 + DT_AUDIT_TEXTS);
        row.hash = dt_db_blob(q, 5 + DT_AUDIT_TEXTS);
        if (each(ctx, &row, err) < 0) {
            got = -1;
            break;
        }
    }
    dt_db_end(q);
    return got;
}
