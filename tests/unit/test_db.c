#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/fd.h"
#include "db/db.h"
#include "db/migrate.h"

#include <fcntl.h>

struct place {
    char folder[64];
    char path[96];
};

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    (void)snprintf(p->folder, sizeof(p->folder), "/tmp/dt-db-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    (void)snprintf(p->path, sizeof(p->path), "%s/a.db", p->folder);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    DT_AUTO_FD int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(dt_fd_remove_tree(tmp, p->folder + sizeof("/tmp/") - 1, NULL), 0);
    free(p);
    return 0;
}

static const struct dt_db_migration first[] = {
    {1, "0001_one", "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL UNIQUE) STRICT"},
    {0, NULL, NULL},
};

static int64_t one_int(struct dt_db_conn *c, const char *sql)
{
    struct dt_db_rows *q;
    struct dt_err err;
    assert_int_equal(dt_db_query(c, sql, NULL, &q, &err), 0);
    assert_int_equal(dt_db_next(q, &err), 1);
    int64_t v = dt_db_int(q, 0);
    dt_db_end(q);
    return v;
}

static void test_pragmas_and_types(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    struct dt_db_rows *q;
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
    assert_int_equal(dt_db_conn_open(p->path, &c, &err), 0);
    assert_int_equal(one_int(c, "PRAGMA foreign_keys"), 1);
    assert_int_equal(one_int(c, "PRAGMA synchronous"), 1);
    assert_int_equal(one_int(c, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);

    assert_int_equal(dt_db_query(c, "SELECT ?1, ?2, ?3, ?4",
                                 DT_DB_ARGS(dt_db_i(INT64_MIN), dt_db_t("a'b"), dt_db_b("\0x", 2),
                                            dt_db_t(NULL)),
                                 &q, &err),
                     0);
    assert_int_equal(dt_db_next(q, &err), 1);
    assert_true(dt_db_int(q, 0) == INT64_MIN);
    assert_string_equal(dt_db_text(q, 1), "a'b");
    assert_true(dt_str_eq(dt_db_blob(q, 2), dt_str("\0x", 2)));
    assert_true(dt_db_is_null(q, 3));
    assert_null(dt_db_text(q, 3));
    assert_int_equal(dt_db_next(q, &err), 0);
    dt_db_end(q);
    /* The number of arguments is checked, not guessed. */
    assert_int_equal(dt_db_run(c, "SELECT ?1, ?2 ", DT_DB_ARGS(dt_db_i(1)), NULL, &err), -1);
}

static void test_constraints_are_conflicts(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    int64_t changed = -1;
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
    assert_int_equal(dt_db_conn_open(p->path, &c, &err), 0);
    assert_int_equal(dt_db_migrate(c, first, &err), 0);
    for (int i = 0; i < 2; i++) {
        int got =
            dt_db_run(c, "INSERT INTO t (b) VALUES (?1)", DT_DB_ARGS(dt_db_t("x")), &changed, &err);
        assert_int_equal(got, i == 0 ? 0 : -1);
    }
    assert_int_equal(err.code, DT_E_CONFLICT);
    assert_int_equal(changed, 1);
    /* STRICT tables refuse a text where a number belongs. */
    assert_int_equal(
        dt_db_run(c, "INSERT INTO t VALUES (?1, 'y')", DT_DB_ARGS(dt_db_t("text")), NULL, &err),
        -1);
}

static void test_migrations_happen_once(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    for (int i = 0; i < 2; i++) {
        DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
        assert_int_equal(dt_db_conn_open(p->path, &c, &err), 0);
        assert_int_equal(dt_db_migrate(c, first, &err), 0);
        assert_int_equal(one_int(c, "SELECT count(*) FROM migration"), 1);
    }
}

static void test_failed_migration_changes_nothing(void **state)
{
    static const struct dt_db_migration bad[] = {
        {1, "0001_one", "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL UNIQUE) STRICT"},
        {2, "0002_bad", "CREATE TABLE u (a TEXT) STRICT; INSERT INTO nowhere VALUES (1)"},
        {0, NULL, NULL},
    };
    struct place *p = *state;
    struct dt_err err;
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
    assert_int_equal(dt_db_conn_open(p->path, &c, &err), 0);
    assert_int_equal(dt_db_migrate(c, first, &err), 0);
    assert_int_equal(dt_db_run(c, "INSERT INTO t VALUES (1, 'kept')", NULL, NULL, &err), 0);
    assert_int_equal(dt_db_migrate(c, bad, &err), -1);
    assert_non_null(strstr(err.msg, "0002_bad"));
    assert_int_equal(one_int(c, "SELECT count(*) FROM sqlite_schema WHERE name = 'u'"), 0);
    /* The program that made the file goes on with it. */
    assert_int_equal(dt_db_migrate(c, first, &err), 0);
    assert_int_equal(one_int(c, "SELECT count(*) FROM t WHERE b = 'kept'"), 1);
}

/* Two were made side by side, and the later number came first. */
static void test_a_number_that_was_left_out_is_applied(void **state)
{
    static const struct dt_db_migration late[] = {
        {1, "0001_one", "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL UNIQUE) STRICT"},
        {3, "0003_late", "CREATE TABLE v (a TEXT) STRICT"},
        {0, NULL, NULL},
    };
    static const struct dt_db_migration all[] = {
        {1, "0001_one", "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL UNIQUE) STRICT"},
        {2, "0002_early", "CREATE TABLE u (a TEXT) STRICT"},
        {3, "0003_late", "CREATE TABLE v (a TEXT) STRICT"},
        {0, NULL, NULL},
    };
    struct place *p = *state;
    struct dt_err err;
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
    assert_int_equal(dt_db_conn_open(p->path, &c, &err), 0);
    assert_int_equal(dt_db_migrate(c, late, &err), 0);
    assert_int_equal(dt_db_migrate(c, all, &err), 0);
    assert_int_equal(one_int(c, "SELECT count(*) FROM sqlite_schema WHERE name IN ('u', 'v')"), 2);
    assert_int_equal(dt_db_migrate(c, all, &err), 0);
}

static void test_newer_file_is_refused(void **state)
{
    static const struct dt_db_migration none[] = {{0, NULL, NULL}};
    struct place *p = *state;
    struct dt_err err;
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
    assert_int_equal(dt_db_conn_open(p->path, &c, &err), 0);
    assert_int_equal(dt_db_migrate(c, first, &err), 0);
    assert_int_equal(dt_db_migrate(c, none, &err), -1);
    assert_int_equal(err.code, DT_E_UNSUPPORTED);
}

static void test_real_migrations_apply(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
    assert_int_equal(dt_db_conn_open(p->path, &c, &err), 0);
    assert_int_equal(dt_db_migrate(c, dt_db_migrations, &err), 0);
    assert_int_equal(one_int(c, "SELECT count(*) FROM sqlite_schema WHERE name = 'sandbox'"), 1);
}

/* A store of the first version, with a user and two keys, becomes one of today. */
static void test_the_first_version_migrates(void **state)
{
    const struct dt_db_migration old[] = {dt_db_migrations[0], {0, NULL, NULL}};
    const struct dt_db_migration volumes[] = {
        dt_db_migrations[0], dt_db_migrations[1], {0, NULL, NULL}};
    struct place *p = *state;
    struct dt_err err;
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
    assert_int_equal(dt_db_conn_open(p->path, &c, &err), 0);
    assert_int_equal(dt_db_migrate(c, old, &err), 0);
    assert_int_equal(
        dt_db_script(
            c,
            "INSERT INTO organization VALUES ('o', 'Personal', 5);"
            "INSERT INTO user VALUES ('u', 'o', 'local', 6), ('v', 'o', 'second', 7);"
            "INSERT INTO api_key VALUES (zeroblob(32), 'o', 'u', 'first', 'dtn***abc', "
            "'write:sandboxes read:volumes', 8, NULL);"
            "INSERT INTO api_key VALUES (randomblob(32), 'o', 'v', 'first', 'dtn***xyz', "
            "'', 9, 10);"
            "INSERT INTO sandbox VALUES ('s', 'o', 'box', NULL, 'stopped', 'stopped', NULL, "
            "'root', '{}', '{}', 0, 0, NULL, 'us', 'small', 1, 1, 1, 0, 0, 0, 1, '', '{}', "
            "1, 1, 1)",
            &err),
        0);
    assert_int_equal(dt_db_migrate(c, volumes, &err), 0);
    assert_int_equal(
        dt_db_script(c, "INSERT INTO volume VALUES ('v', 'o', 'data', 'ready', 1, NULL, 1, 1, 1)",
                     &err),
        0);
    assert_int_equal(dt_db_migrate(c, dt_db_migrations, &err), 0);
    assert_int_equal(one_int(c, "SELECT count(*) FROM user WHERE is_admin = 1"), 2);
    assert_int_equal(one_int(c, "SELECT id = 'u' FROM user WHERE local_user = 1"), 1);
    assert_int_equal(one_int(c,
                             "SELECT created_by = 'u' AND is_personal = 1 AND created_ms = 5 AND "
                             "max_cpu IS NULL FROM organization"),
                     1);
    assert_int_equal(one_int(c, "SELECT count(*) FROM member WHERE is_owner = 1"), 2);
    assert_int_equal(one_int(c,
                             "SELECT prefix = 'dtn' AND suffix = 'abc' AND permissions = "
                             "'write:sandboxes read:volumes' AND expires_ms IS NULL FROM api_key "
                             "WHERE hash = zeroblob(32)"),
                     1);
    assert_int_equal(one_int(c, "SELECT count(*) FROM api_key WHERE expires_ms = 10"), 1);
    assert_int_equal(one_int(c, "SELECT count(*) FROM role WHERE organization_id IS NULL"), 7);
    assert_int_equal(one_int(c, "SELECT count(*) FROM sandbox WHERE organization_id = 'o'"), 1);
    assert_int_equal(one_int(c, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

/* --- jobs --- */

struct counter {
    struct dt_db *db;
    int done, failed;
    int64_t seen;
};

static int add_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    (void)arg;
    return dt_db_run(c,
                     "INSERT INTO organization (id, name, created_by, is_personal, created_ms, "
                     "updated_ms) VALUES (hex(randomblob(8)), 'x', 'u', 0, 1, 1)",
                     NULL, NULL, err);
}

static int add_and_fail_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    if (add_job(c, arg, err) < 0)
        return -1;
    return dt_err_set(err, DT_E_GONE, "on purpose");
}

static int count_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct counter *k = arg;
    (void)err;
    k->seen = one_int(c, "SELECT count(*) FROM organization");
    return 0;
}

static void on_counted(void *arg, const struct dt_err *err)
{
    struct counter *k = arg;
    assert_null(err);
    k->db = dt_db_close(k->db);
}

static void on_done(void *arg, const struct dt_err *err)
{
    struct counter *k = arg;
    k->done++;
    if (err != NULL) {
        assert_int_equal(err->code, DT_E_GONE);
        k->failed++;
    }
    struct dt_err why;
    if (k->done == 20)
        assert_int_equal(dt_db_submit_read(k->db, count_job, k, on_counted, &why), 0);
}

static void test_jobs_run_in_order_and_roll_back(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    struct counter k = {0};
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(dt_db_open(&loop, p->path, &k.db, &err), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(
            dt_db_submit(k.db, i % 2 == 0 ? add_job : add_and_fail_job, &k, on_done, &err), 0);
    assert_int_equal(k.done, 0); /* never from inside */
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(k.done, 20);
    assert_int_equal(k.failed, 10);
    assert_int_equal(k.seen, 10);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* Eight that rest on one that works, then eight on one that does not, then two on nobody. */
static void test_jobs_rest_on_another(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    struct counter k = {0};
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(dt_db_open(&loop, p->path, &k.db, &err), 0);
    for (int bad = 0; bad < 2; bad++) {
        struct dt_db_base *base = NULL;
        dt_db_fn *job = bad ? add_and_fail_job : add_job;
        assert_int_equal(dt_db_submit_base(k.db, job, &k, on_done, &base, &err), 0);
        dt_db_rest_on(k.db, base);
        for (int i = 0; i < 8; i++)
            assert_int_equal(dt_db_submit(k.db, add_job, &k, on_done, &err), 0);
        dt_db_rest_on(k.db, NULL);
        assert_null(dt_db_base_free(base)); /* before any of them is done */
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(dt_db_submit(k.db, add_job, &k, on_done, &err), 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(k.done, 20);
    assert_int_equal(k.failed, 9);
    assert_int_equal(k.seen, 11);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void only_count(void *arg, const struct dt_err *err)
{
    struct counter *k = arg;
    assert_null(err);
    k->done++;
}

static void test_close_runs_what_waits(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    struct counter k = {0};
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(dt_db_open(&loop, p->path, &k.db, &err), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(dt_db_submit(k.db, add_job, &k, only_count, &err), 0);
    k.db = dt_db_close(k.db);
    assert_int_equal(k.done, 50);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_queue_is_bounded(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    struct counter k = {0};
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(dt_db_open(&loop, p->path, &k.db, &err), 0);
    for (int i = 0; i < DT_DB_JOBS_MAX; i++)
        assert_int_equal(dt_db_submit_read(k.db, count_job, &k, only_count, &err), 0);
    assert_int_equal(dt_db_submit(k.db, add_job, &k, only_count, &err), -1);
    assert_int_equal(err.code, DT_E_LIMIT);
    k.db = dt_db_close(k.db);
    assert_int_equal(k.done, DT_DB_JOBS_MAX);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_place, remove_place)
    const struct CMUnitTest tests[] = {
        TEST(test_pragmas_and_types),
        TEST(test_constraints_are_conflicts),
        TEST(test_migrations_happen_once),
        TEST(test_failed_migration_changes_nothing),
        TEST(test_a_number_that_was_left_out_is_applied),
        TEST(test_newer_file_is_refused),
        TEST(test_real_migrations_apply),
        TEST(test_the_first_version_migrates),
        TEST(test_jobs_run_in_order_and_roll_back),
        TEST(test_jobs_rest_on_another),
        TEST(test_close_runs_what_waits),
        TEST(test_queue_is_bounded),
    };
    return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
