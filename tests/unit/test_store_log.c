/* The log of a sandbox in the store. */
#include "store_fixture.h"

#include "runnerd/store_log.h"

#define ID "aaaaaaaa-0000-4000-8000-000000000001"

static void add_to(struct place *p, const char *id, int64_t at, enum dt_severity severity,
                   const char *body)
{
    struct dt_err err;
    const struct dt_log_entry e = {
        .at_ms = at, .severity = severity, .operation = "test", .body = body};
    OK(dt_store_log_add(p->c, id, &e, &err));
}

static void add(struct place *p, int64_t at, enum dt_severity severity, const char *body)
{
    add_to(p, ID, at, severity, body);
}

/* What a list gives: bodies, each followed by a bar. */
static int collect(void *ctx, const struct dt_log_entry *e, struct dt_err *err)
{
    struct dt_buf *out = ctx;
    assert_string_equal(e->operation, "test");
    assert_null(e->state);
    assert_false(e->by_server);
    return dt_buf_addf(out, err, "%s|", e->body);
}

static void expect(struct place *p, struct dt_log_filter f, const char *want, int64_t all)
{
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf out;
    int64_t total = -1;
    dt_buf_init(&out, (size_t)1 << 20);
    f.sandbox = ID;
    f.to_ms = f.to_ms != 0 ? f.to_ms : INT64_MAX;
    f.any_severity = f.severities == 0;
    f.limit = f.limit != 0 ? f.limit : 1000;
    OK(dt_store_log_list(p->c, &f, collect, &out, &total, &err));
    OK(dt_buf_addz(&out, "", &err));
    assert_string_equal(out.p, want);
    assert_int_equal(total, all);
}

static void test_filters(void **state)
{
    struct place *p = *state;
    struct dt_sandbox_row r = row_of(ID);
    born(p, &r, 1000);
    expect(p, (struct dt_log_filter){.from_ms = 0}, "", 0);
    add(p, 1000, DT_SEVERITY_INFO, "Made");
    add(p, 2000, DT_SEVERITY_WARN, "100% made_up");
    add(p, 1500, DT_SEVERITY_ERROR, "a clock that went back");
    expect(p, (struct dt_log_filter){.from_ms = 0}, "a clock that went back|100% made_up|Made|", 3);
    expect(p, (struct dt_log_filter){.from_ms = 1500, .to_ms = 1999}, "a clock that went back|", 1);
    expect(p, (struct dt_log_filter){.from_ms = 2000, .to_ms = 2000}, "100% made_up|", 1);
    expect(p, (struct dt_log_filter){.search = "MADE"}, "100% made_up|Made|", 2);
    expect(p, (struct dt_log_filter){.search = "%"}, "100% made_up|", 1);
    expect(p, (struct dt_log_filter){.search = "e_u"}, "100% made_up|", 1);
    expect(p, (struct dt_log_filter){.severities = 1u << DT_SEVERITY_WARN | 1u << DT_SEVERITY_INFO},
           "100% made_up|Made|", 2);
    expect(p, (struct dt_log_filter){.severities = 1u << DT_SEVERITY_DEBUG}, "", 0);
    expect(p, (struct dt_log_filter){.offset = 1, .limit = 1}, "100% made_up|", 3);
    expect(p, (struct dt_log_filter){.offset = 3}, "", 3);
}

static void test_bounds(void **state)
{
    struct place *p = *state;
    struct dt_sandbox_row r = row_of(ID);
    char body[2 * DT_LOG_BODY_MAX], want[DT_LOG_BODY_MAX + 1];
    born(p, &r, 1000);
    for (int i = 0; i < DT_LOG_ENTRIES_MAX + 50; i++)
        add(p, i, DT_SEVERITY_INFO, "x");
    expect(p, (struct dt_log_filter){.offset = DT_LOG_ENTRIES_MAX - 1}, "x|", DT_LOG_ENTRIES_MAX);
    expect(p, (struct dt_log_filter){.to_ms = 49}, "", 0);
    /* A character of two bytes that does not fit is left out as a whole. */
    memset(body, 'y', sizeof(body));
    memcpy(&body[DT_LOG_BODY_MAX - 2], "\u00e4", 2);
    body[sizeof(body) - 1] = '\0';
    memset(want, 'y', DT_LOG_BODY_MAX - 2);
    memcpy(&want[DT_LOG_BODY_MAX - 2], "|", 2);
    add(p, 1000, DT_SEVERITY_INFO, body);
    expect(p, (struct dt_log_filter){.limit = 1}, want, DT_LOG_ENTRIES_MAX);
}

static int64_t entries(struct place *p)
{
    struct dt_err err;
    struct dt_db_rows *q;
    OK(dt_db_query(p->c, "SELECT count(*) FROM sandbox_log", NULL, &q, &err));
    OK(dt_db_next(q, &err));
    int64_t n = dt_db_int(q, 0);
    dt_db_end(q);
    return n;
}

static void test_it_goes_with_the_sandbox(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    struct dt_sandbox_row r = row_of(ID);
    born(p, &r, 1000);
    add(p, 1000, DT_SEVERITY_INFO, "x");
    r.name = r.id;
    r.state = DT_SANDBOX_STARTED;
    OK(dt_store_sandbox_move(p->c, &r, &err));
    assert_int_equal(entries(p), 1);
    r.state = DT_SANDBOX_DESTROYED;
    OK(dt_store_sandbox_move(p->c, &r, &err));
    assert_int_equal(entries(p), 0);
    add(p, 2000, DT_SEVERITY_INFO, "late");
    assert_int_equal(entries(p), 0); /* also while there is a row of it */
    r.updated_ms = 2000;
    OK(dt_store_sweep(p->c, 5000, 4000, &err));
    assert_int_equal(entries(p), 0);
    add(p, 3000, DT_SEVERITY_INFO, "later still");
    assert_int_equal(entries(p), 0);
}

static void test_all_have_a_limit(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    char id[] = ID;
    char *last = &id[sizeof(id) - 2];
    for (int k = 1; k <= 5; k++) {
        *last = (char)('0' + k);
        struct dt_sandbox_row r = row_of(id);
        r.name = id;
        born(p, &r, 1000);
        for (int i = 0; i < 20; i++)
            add_to(p, id, 100 * k + i, DT_SEVERITY_INFO, "x");
    }
    OK(dt_store_log_trim(p->c, 100, &err));
    assert_int_equal(entries(p), 100);
    OK(dt_store_log_trim(p->c, 70, &err));
    assert_int_equal(entries(p), 70);
    /* The oldest went, of all sandboxes. */
    expect(p, (struct dt_log_filter){.from_ms = 0}, "", 0);
    *last = '5';
    add_to(p, id, 50, DT_SEVERITY_INFO, "a clock that went back");
    OK(dt_store_log_trim(p->c, 70, &err));
    assert_int_equal(entries(p), 70);
    for (int i = 0; i < 40; i++) /* all of one moment */
        add(p, 900, DT_SEVERITY_INFO, "x");
    OK(dt_store_log_trim(p->c, 30, &err));
    assert_int_equal(entries(p), 30);
}

static void test_severities(void **state)
{
    (void)state;
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(dt_severity_text(dt_severity_from_text(names[i])), names[i]);
    assert_int_equal(dt_severity_from_text("info"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_place, close_place)
    const struct CMUnitTest tests[] = {
        TEST(test_filters),
        TEST(test_bounds),
        TEST(test_it_goes_with_the_sandbox),
        TEST(test_all_have_a_limit),
        cmocka_unit_test(test_severities),
    };
    return cmocka_run_group_tests_name("store_log", tests, NULL, NULL);
}
