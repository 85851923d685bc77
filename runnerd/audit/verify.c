#include "runnerd/audit/verify.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/rand.h"
#include "runnerd/audit/store_audit.h"

struct check {
    struct dt_audit_report *report;
    const struct dt_audit_mark *mark;
    void (*tell)(void *ctx, const char *what);
    void *ctx;
    int64_t next; /* the seq that must come */
    uint8_t before[DT_HASH_SIZE];
    bool marked; /* the mark was passed */
};

static void problem(struct check *k, const char *fmt, ...) DT_PRINTF(2, 3);

static void problem(struct check *k, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (k->report->problems++ < DT_AUDIT_PROBLEMS_MAX)
        k->tell(k->ctx, text);
}

static void missing(struct check *k, int64_t from, int64_t to, const char *where)
{
    if (from == to)
        problem(k, "record %lld is missing%s", (long long)from, where);
    else
        problem(k, "records %lld to %lld are missing%s", (long long)from, (long long)to, where);
}

static bool is_hash(struct dt_str s, const uint8_t hash[DT_HASH_SIZE])
{
    return s.n == DT_HASH_SIZE && memcmp(s.p, hash, DT_HASH_SIZE) == 0;
}

static void check_mark(struct check *k, const struct dt_audit_row *row)
{
    if (k->mark->seq != row->r.seq)
        return;
    k->marked = true;
    if (!is_hash(row->hash, k->mark->hash))
        problem(k, "record %lld has another hash than the one given", (long long)row->r.seq);
}

static int check_row(void *ctx, const struct dt_audit_row *row, struct dt_err *err)
{
    struct check *k = ctx;
    const struct dt_audit_record *r = &row->r;
    uint8_t own[DT_HASH_SIZE], previous[DT_HASH_SIZE] = {0};
    (void)err;
    bool follows = r->seq == k->next;
    if (r->seq > k->next)
        missing(k, k->next, r->seq - 1, "");
    else if (!follows)
        problem(k, "record %lld stands where none may be: %lld is the first", (long long)r->seq,
                (long long)k->next);
    if (follows && !is_hash(row->previous, k->before))
        problem(k, "record %lld does not follow the one before it: one of them was exchanged",
                (long long)r->seq);
    if (row->previous.n == DT_HASH_SIZE)
        memcpy(previous, row->previous.p, DT_HASH_SIZE);
    dt_audit_hash(previous, r, own);
    if (!is_hash(row->hash, own))
        problem(k, "record %lld was altered", (long long)r->seq);
    if (r->texts[DT_AUDIT_ACTION] != NULL &&
        strcmp(r->texts[DT_AUDIT_ACTION], DT_AUDIT_BROKEN) == 0)
        problem(k, "before record %lld the server found the log broken", (long long)r->seq);
    check_mark(k, row);
    memset(k->before, 0, sizeof(k->before));
    memcpy(k->before, row->hash.p, row->hash.n < DT_HASH_SIZE ? row->hash.n : DT_HASH_SIZE);
    if (k->report->records++ == 0)
        k->report->first = r->seq;
    k->report->last = r->seq;
    k->next = r->seq + 1;
    return 0;
}

static void check_end(struct check *k, const struct dt_audit_end_seal *last)
{
    const struct dt_audit_report *report = k->report;
    if (!last->sealed) {
        problem(k, "the seal of the last record is missing or false");
    } else if (k->next - 1 < last->seq) {
        missing(k, k->next, last->seq, " at the end");
    } else if (k->next - 1 > last->seq) {
        problem(k, "records after %lld were put in at the end", (long long)last->seq);
    } else if (memcmp(last->hash, k->before, DT_HASH_SIZE) != 0) {
        problem(k, "the last record, %lld, is not the one that was sealed", (long long)last->seq);
    }
    if (k->mark->seq > 0 && !k->marked)
        problem(k, "record %lld, whose hash was given, is not there%s", (long long)k->mark->seq,
                report->records > 0 && k->mark->seq < report->first ? " any more" : "");
}

int dt_audit_verify(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE],
                    const struct dt_audit_mark *mark, void (*tell)(void *ctx, const char *what),
                    void *ctx, struct dt_audit_report *ret, struct dt_err *err)
{
    struct dt_audit_end_seal first, last;
    struct check k = {.report = ret, .mark = mark, .tell = tell, .ctx = ctx};
    memset(ret, 0, sizeof(*ret));
    if (dt_store_audit_seal(c, key, "first", &first, err) < 0 ||
        dt_store_audit_seal(c, key, "last", &last, err) < 0)
        return -1;
    if (!first.sealed)
        problem(&k, "the seal of the beginning is missing or false");
    k.next = first.seq + 1;
    memcpy(k.before, first.hash, sizeof(k.before));
    if (dt_store_audit_walk(c, check_row, &k, err) < 0)
        return -1;
    check_end(&k, &last);
    memcpy(ret->hash, k.before, sizeof(ret->hash));
    return 0;
}
