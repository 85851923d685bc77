#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/rand.h"
#include "db/migrate.h"
#include "runnerd/audit/audit.h"
#include "runnerd/audit/store_audit.h"
#include "runnerd/audit/verify.h"

static const uint8_t key[DT_SECRET_SIZE] = {1, 2, 3};
static const uint8_t other_key[DT_SECRET_SIZE] = {1, 2, 4};

struct place {
    char folder[64];
    struct dt_db_conn *c;
    char told[4096]; /* what verification found, a line each */
    struct dt_audit_report report;
};

static void run(struct place *p, const char *sql)
{
    struct dt_err err;
    if (dt_db_script(p->c, sql, &err) < 0)
        fail_msg("%s: %s", sql, err.msg);
}

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    struct dt_err err;
    char path[128];
    (void)snprintf(p->folder, sizeof(p->folder), "/tmp/dt-audit-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    (void)snprintf(path, sizeof(path), "%s/state", p->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/state/a.db", p->folder);
    assert_int_equal(dt_db_conn_open(path, &p->c, &err), 0);
    assert_int_equal(dt_db_migrate(p->c, dt_db_migrations, &err), 0);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    DT_AUTO_FD int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    (void)dt_db_conn_close(p->c);
    assert_int_equal(dt_fd_remove_tree(tmp, p->folder + sizeof("/tmp/") - 1, NULL), 0);
    free(p);
    return 0;
}

static int64_t begin(struct place *p, int64_t at_ms, const char *org, const char *action)
{
    struct dt_err err;
    char id[DT_UUID_SIZE];
    dt_rand_uuid(id);
    struct dt_audit_record r = {
        .at_ms = at_ms,
        .status = -1,
        .texts = {[DT_AUDIT_ID] = id,
                  [DT_AUDIT_ACTOR] = "u",
                  [DT_AUDIT_EMAIL] = "u@example.com",
                  [DT_AUDIT_ORG] = org,
                  [DT_AUDIT_ACTION] = action,
                  [DT_AUDIT_ADDRESS] = "192.0.2.1"},
    };
    assert_int_equal(dt_store_audit_add(p->c, key, &r, &err), 0);
    return r.seq;
}

static void end(struct place *p, int64_t begun, int64_t at_ms, int status, const char *error)
{
    struct dt_err err;
    struct dt_audit_record r = {
        .begin = begun,
        .at_ms = at_ms,
        .status = status,
        .texts = {[DT_AUDIT_ERROR] = error, [DT_AUDIT_TARGET] = "made"},
    };
    assert_int_equal(dt_store_audit_add(p->c, key, &r, &err), 0);
}

/* Records 1 to 10: five actions. */
static void fill(struct place *p)
{
    struct dt_err err;
    assert_int_equal(dt_store_audit_init(p->c, key, &err), 0);
    for (int i = 0; i < 5; i++)
        end(p, begin(p, 1000 * i, i % 2 == 0 ? "even" : "odd", "create"), 1000 * i + 1, 200, NULL);
}

static void tell(void *ctx, const char *what)
{
    struct place *p = ctx;
    size_t n = strlen(p->told);
    (void)snprintf(p->told + n, sizeof(p->told) - n, "%s\n", what);
}

static int64_t verify(struct place *p, const uint8_t *with, const struct dt_audit_mark *mark)
{
    static const struct dt_audit_mark none;
    struct dt_err err;
    p->told[0] = '\0';
    assert_int_equal(
        dt_audit_verify(p->c, with, mark != NULL ? mark : &none, tell, p, &p->report, &err), 0);
    return p->report.problems;
}

static void test_whole(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    assert_int_equal(dt_store_audit_init(p->c, key, &err), 0);
    assert_int_equal(verify(p, key, NULL), 0);
    assert_int_equal(p->report.records, 0);
    fill(p);
    assert_int_equal(verify(p, key, NULL), 0);
    assert_int_equal(p->report.records, 10);
    assert_int_equal(p->report.first, 1);
    assert_int_equal(p->report.last, 10);
    struct dt_audit_mark mark = {.seq = 10};
    memcpy(mark.hash, p->report.hash, sizeof(mark.hash));
    end(p, begin(p, 9000, NULL, "delete"), 9001, 404, "no such thing");
    assert_int_equal(verify(p, key, &mark), 0);
    mark.hash[0] ^= 1;
    assert_int_equal(verify(p, key, &mark), 1);
    assert_string_equal(p->told, "record 10 has another hash than the one given\n");
}

/* Whatever is done to a whole log with SQL shows. */
static void test_changes(void **state)
{
    struct place *p = *state;
    static const char copy[] =
        "INSERT INTO audit SELECT 11, begin_seq, at_ms, status, id, actor_id, actor_email, "
        "key_prefix, key_suffix, organization_id, action, target_type, target_id, address, "
        "user_agent, source, metadata, error, previous, hash FROM audit WHERE seq = 9";
    static const struct {
        const char *sql, *told;
    } rows[] = {
        {"UPDATE audit SET actor_id = 'v' WHERE seq = 3", "record 3 was altered"},
        {"UPDATE audit SET actor_email = NULL WHERE seq = 3", "record 3 was altered"},
        {"UPDATE audit SET key_prefix = '' WHERE seq = 3", "record 3 was altered"},
        {"UPDATE audit SET key_suffix = 'x' WHERE seq = 3", "record 3 was altered"},
        {"UPDATE audit SET organization_id = 'other' WHERE seq = 3", "record 3 was altered"},
        {"UPDATE audit SET action = 'read' WHERE seq = 3", "record 3 was altered"},
        {"UPDATE audit SET target_type = 'x' WHERE seq = 3", "record 3 was altered"},
        {"UPDATE audit SET target_id = 'x' WHERE seq = 4", "record 4 was altered"},
        {"UPDATE audit SET address = '192.0.2.2' WHERE seq = 3", "record 3 was altered"},
        {"UPDATE audit SET user_agent = 'x' WHERE seq = 3", "record 3 was altered"},
        {"UPDATE audit SET source = 'x' WHERE seq = 3", "record 3 was altered"},
        {"UPDATE audit SET metadata = '{}' WHERE seq = 3", "record 3 was altered"},
        {"UPDATE audit SET error = 'x' WHERE seq = 4", "record 4 was altered"},
        {"UPDATE audit SET status = 201 WHERE seq = 4", "record 4 was altered"},
        {"UPDATE audit SET status = NULL WHERE seq = 4", "record 4 was altered"},
        {"UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 4", "record 4 was altered"},
        {"UPDATE audit SET begin_seq = 5 WHERE seq = 4; ", "record 4 was altered"},
        {"UPDATE audit SET id = 'x' WHERE seq = 10", "record 10 was altered"},
        {"UPDATE audit SET hash = zeroblob(32) WHERE seq = 4", "record 4 was altered"},
        {"UPDATE audit SET previous = zeroblob(32) WHERE seq = 4", "record 4 does not follow"},
        /* In the middle, at both ends, all. */
        {"DELETE FROM audit WHERE seq = 5", "record 5 is missing\n"},
        {"DELETE FROM audit WHERE seq IN (5, 6)", "records 5 to 6 are missing\n"},
        {"DELETE FROM audit WHERE seq = 1", "record 1 is missing\n"},
        {"DELETE FROM audit WHERE seq = 10", "record 10 is missing at the end\n"},
        {"DELETE FROM audit WHERE seq > 6", "records 7 to 10 are missing at the end\n"},
        {"DELETE FROM audit", "records 1 to 10 are missing at the end\n"},
        {"DELETE FROM audit; DELETE FROM audit_seal", "the seal of the last record is missing"},
        {"DELETE FROM audit WHERE seq > 6; UPDATE audit_seal SET seq = 6, hash = (SELECT hash FROM "
         "audit WHERE seq = 6) WHERE name = 'last'",
         "the seal of the last record is missing or false"},
        {"DELETE FROM audit WHERE seq < 5; UPDATE audit_seal SET seq = 4, hash = (SELECT previous "
         "FROM audit WHERE seq = 5) WHERE name = 'first'",
         "the seal of the beginning is missing or false"},
        {"DELETE FROM audit_seal WHERE name = 'first'",
         "the seal of the beginning is missing or false"},
        {"UPDATE audit_seal SET mac = (SELECT "
         "mac FROM audit_seal WHERE name = 'first') WHERE name = 'last'",
         "the seal of the last record is missing or false"},
        /* Exchanged, put in. */
        {"UPDATE audit SET seq = 99 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 5; "
         "UPDATE audit SET seq = 5 WHERE seq = 99",
         "record 3 does not follow the one before it"},
        {copy, "records after 10 were put in at the end"},
        {"UPDATE audit SET seq = -1 WHERE seq = 1", "record -1 stands where none may be"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run(p, "DELETE FROM audit; DELETE FROM audit_seal; DELETE FROM audit_open");
        run(p, "DROP INDEX IF EXISTS audit_end");
        fill(p);
        assert_int_equal(verify(p, key, NULL), 0);
        run(p, rows[i].sql);
        if (verify(p, key, NULL) == 0 || strstr(p->told, rows[i].told) == NULL)
            fail_msg("%s: '%s'", rows[i].sql, p->told);
    }
}

/* Who rewrites the log from some point on, hashes and all, lacks the key. */
static void test_rewritten(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    fill(p);
    run(p, "DELETE FROM audit WHERE seq > 6; DELETE FROM audit_open");
    struct dt_audit_record r = {.begin = 0, .status = -1, .texts = {[DT_AUDIT_ACTION] = "read"}};
    run(p, "UPDATE audit_seal SET seq = 6, hash = (SELECT hash FROM audit WHERE seq = 6) "
           "WHERE name = 'last'");
    assert_int_equal(dt_store_audit_add(p->c, other_key, &r, &err), 0);
    assert_true(verify(p, key, NULL) > 0);
    assert_non_null(strstr(p->told, "the seal of the last record is missing or false"));
}

/* The server goes on with a broken log, and the log says so for ever. */
static void test_it_goes_on(void **state)
{
    struct place *p = *state;
    fill(p);
    run(p, "DELETE FROM audit WHERE seq > 4; DELETE FROM audit_seal WHERE name = 'last'");
    end(p, begin(p, 9000, "odd", "stop"), 9001, 200, NULL);
    assert_int_equal(verify(p, key, NULL), 1);
    assert_string_equal(p->told, "before record 5 the server found the log broken\n");
    /* A cut end under a true seal stays a gap. */
    run(p, "DELETE FROM audit WHERE seq = 7");
    end(p, begin(p, 9000, "odd", "stop"), 9001, 200, NULL);
    assert_int_equal(verify(p, key, NULL), 2);
    assert_non_null(strstr(p->told, "record 7 is missing\n"));
}

static void test_ends(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    assert_int_equal(dt_store_audit_init(p->c, key, &err), 0);
    int64_t old = begin(p, 1000, "odd", "create"), young = begin(p, 5000, "odd", "create");
    assert_int_equal(dt_store_audit_give_up(p->c, key, 2000, &err), 0);
    end(p, old, 6000, 200, NULL); /* too late */
    end(p, young, 6000, 200, NULL);
    end(p, young, 7000, 500, "twice");
    assert_int_equal(verify(p, key, NULL), 0);
    assert_int_equal(p->report.records, 4);
    assert_int_equal(dt_store_audit_give_up(p->c, key, INT64_MAX, &err), 0);
    assert_int_equal(verify(p, key, NULL), 0);
    assert_int_equal(p->report.records, 4);
}

struct page {
    size_t n;
    int64_t seqs[32], statuses[32];
};

static int add(void *ctx, const struct dt_audit_record *r, struct dt_err *err)
{
    struct page *page = ctx;
    (void)err;
    assert_true(page->n < 32);
    page->statuses[page->n] = r->status;
    page->seqs[page->n++] = r->seq;
    return 0;
}

static int64_t list(struct place *p, struct dt_audit_filter f, struct page *page)
{
    struct dt_err err;
    int64_t total;
    page->n = 0;
    if (f.to_ms == 0)
        f.to_ms = INT64_MAX;
    assert_int_equal(dt_store_audit_list(p->c, &f, add, page, &total, &err), 0);
    return total;
}

static void test_pages(void **state)
{
    struct place *p = *state;
    struct page page;
    fill(p);
    int64_t open = begin(p, 4000, "odd", "stop"); /* as old as another one, and newer */
    assert_int_equal(list(p, (struct dt_audit_filter){.limit = 32}, &page), 6);
    static const int64_t all[] = {11, 9, 7, 5, 3, 1};
    assert_int_equal(page.n, 6);
    assert_memory_equal(page.seqs, all, sizeof(all));
    assert_int_equal(page.statuses[0], -1);
    assert_int_equal(page.statuses[1], 200);
    assert_int_equal(open, 11);

    assert_int_equal(list(p, (struct dt_audit_filter){.org = "even", .limit = 2}, &page), 3);
    assert_int_equal(page.n, 2);
    assert_int_equal(page.seqs[1], 5);
    assert_int_equal(
        list(p, (struct dt_audit_filter){.org = "even", .limit = 2, .offset = 2}, &page), 3);
    assert_int_equal(page.n, 1);
    assert_int_equal(page.seqs[0], 1);
    assert_int_equal(list(p, (struct dt_audit_filter){.org = "nobody", .limit = 2}, &page), 0);

    (void)list(p, (struct dt_audit_filter){.limit = 2, .after = 11, .after_ms = 4000}, &page);
    assert_int_equal(page.seqs[0], 9);
    (void)list(p, (struct dt_audit_filter){.limit = 2, .after = 9, .after_ms = 4000}, &page);
    assert_int_equal(page.seqs[0], 7);
    assert_int_equal(
        list(p, (struct dt_audit_filter){.limit = 9, .from_ms = 1000, .to_ms = 3000}, &page), 3);
    assert_int_equal(page.seqs[2], 3);
}

static void test_pruning(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    struct page page;
    fill(p);
    assert_int_equal(dt_store_audit_prune(p->c, key, 2001, 3, &err), 0);
    assert_int_equal(verify(p, key, NULL), 0);
    assert_int_equal(p->report.first, 4);
    assert_int_equal(dt_store_audit_prune(p->c, key, 2001, 100, &err), 0);
    assert_int_equal(verify(p, key, NULL), 0);
    assert_int_equal(p->report.first, 6);
    assert_int_equal(list(p, (struct dt_audit_filter){.limit = 9}, &page), 2);
    const struct dt_audit_mark mark = {.seq = 2};
    assert_int_equal(verify(p, key, &mark), 1);
    assert_string_equal(p->told, "record 2, whose hash was given, is not there any more\n");
    assert_int_equal(dt_store_audit_prune(p->c, key, INT64_MAX, 100, &err), 0);
    assert_int_equal(verify(p, key, NULL), 0);
    assert_int_equal(p->report.records, 0);
    end(p, begin(p, 9000, "odd", "stop"), 9001, 200, NULL);
    assert_int_equal(verify(p, key, NULL), 0);
    assert_int_equal(p->report.first, 11);
    /* What is broken is kept. */
    run(p, "DELETE FROM audit_seal WHERE name = 'first'");
    assert_int_equal(dt_store_audit_prune(p->c, key, INT64_MAX, 100, &err), 0);
    assert_true(verify(p, key, NULL) > 0);
    assert_int_equal(p->report.records, 2);
}

/* The start: a key without seals means that somebody took the seals away. */
/* --- while it is under way --- */

static void on_begun(void *ctx, struct dt_audit_entry *entry, const struct dt_err *err)
{
    assert_null(err);
    *(struct dt_audit_entry **)ctx = entry;
}

static struct dt_audit_entry *begin_live(struct dt_audit *a, uv_loop_t *loop)
{
    const struct dt_audit_record what = {
        .texts = {[DT_AUDIT_ACTOR] = "u", [DT_AUDIT_EMAIL] = "", [DT_AUDIT_ACTION] = "wait"}};
    struct dt_audit_entry *entry = NULL;
    struct dt_err err;
    assert_int_equal(dt_audit_begin(a, &what, on_begun, &entry, NULL, &err), 0);
    while (entry == NULL)
        (void)uv_run(loop, UV_RUN_ONCE);
    return entry;
}

static void settle(struct dt_db *db, uv_loop_t *loop)
{
    while (dt_db_waiting(db) > 0)
        (void)uv_run(loop, UV_RUN_ONCE);
}

/* What takes long is not lost; what nobody knows of is. */
static void test_long_actions(void **state)
{
    struct place *p = *state;
    struct dt_audit *here = NULL, *gone = NULL;
    struct dt_db *db = NULL;
    struct dt_err err;
    struct page page;
    uv_loop_t loop;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/state/a.db", p->folder);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(dt_audit_new(p->folder, p->c, &here, &err), 0);
    assert_int_equal(dt_audit_new(p->folder, p->c, &gone, &err), 0);
    assert_int_equal(dt_db_open(&loop, path, &db, &err), 0);
    dt_audit_start(here, db, 0);
    dt_audit_start(gone, db, 0);
    struct dt_audit_entry *lost = begin_live(gone, &loop);
    struct dt_audit_entry *one = begin_live(here, &loop), *two = begin_live(here, &loop);
    dt_audit_end(here, begin_live(here, &loop), 201, NULL, NULL);
    settle(db, &loop);
    run(p, "UPDATE audit_open SET at_ms = 1");
    dt_audit_tick(here);
    settle(db, &loop);
    assert_int_equal(list(p, (struct dt_audit_filter){.limit = 9}, &page), 4);
    assert_memory_equal(page.statuses, ((int64_t[]){201, -1, -1, 0}), 4 * sizeof(int64_t));
    dt_audit_end(here, two, 200, NULL, NULL);
    dt_audit_end(here, one, 499, "gone", NULL);
    dt_audit_end(gone, lost, 200, NULL, NULL);
    settle(db, &loop);
    (void)list(p, (struct dt_audit_filter){.limit = 9}, &page);
    assert_memory_equal(page.statuses, ((int64_t[]){201, 200, 499, 0}), 4 * sizeof(int64_t));
    (void)dt_db_close(db);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    (void)dt_audit_free(here);
    (void)dt_audit_free(gone);
}

static void test_the_key(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    struct dt_audit *a = NULL;
    char path[4200], fresh[4210];
    assert_int_equal(dt_audit_key_path(p->folder, path), 0);
    assert_int_equal(dt_audit_new(p->folder, p->c, &a, &err), 0);
    a = dt_audit_free(a);
    assert_int_equal(access(path, R_OK), 0);
    /* A start that ended between seals and key goes on where it was. */
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    assert_int_equal(rename(path, fresh), 0);
    assert_int_equal(dt_audit_new(p->folder, p->c, &a, &err), 0);
    a = dt_audit_free(a);
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 64);
    assert_int_equal(dt_fd_read_file(AT_FDCWD, path, &b, &err), 0);
    assert_int_equal(b.n, DT_SECRET_SIZE);
    assert_int_equal(verify(p, (const uint8_t *)b.p, NULL), 0);
    run(p, "DELETE FROM audit_seal");
    assert_int_equal(dt_audit_new(p->folder, p->c, &a, &err), 0);
    a = dt_audit_free(a);
    assert_int_equal(verify(p, (const uint8_t *)b.p, NULL), 2);
    assert_int_equal(dt_fd_replace(AT_FDCWD, path, "short", 5, 0600, &err), 0);
    assert_int_equal(dt_audit_new(p->folder, p->c, &a, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_changes, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_rewritten, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_it_goes_on, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_ends, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_pages, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_pruning, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_long_actions, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_the_key, make_place, remove_place),
    };
    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
