/* Usage records: what the store says of a life that is told with its times. */
#include "store_fixture.h"

#include "runnerd/store_usage.h"

#define ID "aaaaaaaa-0000-4000-8000-000000000001"

static void moved(struct place *p, struct dt_sandbox_row *r, int64_t at, const char *state,
                  const char *desired)
{
    struct dt_err err;
    r->name = r->id;
    r->updated_ms = at;
    assert_int_equal(dt_sandbox_state_from_text(state, &r->state), 0);
    assert_int_equal(dt_desired_from_text(desired, &r->desired), 0);
    OK(dt_store_sandbox_move(p->c, r, &err));
}

static struct dt_usage total(struct place *p, int64_t from, int64_t to, int64_t now)
{
    struct dt_err err;
    struct dt_usage u = {.cpu = -1};
    int64_t n = -1;
    const struct dt_usage_query q = {.org = ORG, .from_ms = from, .to_ms = to, .now_ms = now};
    OK(dt_store_usage_total(p->c, &q, &u, &n, &err));
    return u;
}

#define SAYS(u, cpu_, memory_, disk_)                                                              \
    do {                                                                                           \
        struct dt_usage u_ = (u);                                                                  \
        assert_int_equal(u_.cpu, cpu_);                                                            \
        assert_int_equal(u_.memory, memory_);                                                      \
        assert_int_equal(u_.disk, disk_);                                                          \
    } while (0)

static void test_a_life(void **state)
{
    struct place *p = *state;
    struct dt_sandbox_row r = row_of(ID);
    born(p, &r, 1000);
    moved(p, &r, 1100, "started", "started");
    SAYS(total(p, 0, 9999, 1500), 500 * 2000, 500 * 1024, 500 * 3072); /* it lasts */
    moved(p, &r, 2000, "stopping", "stopped");
    moved(p, &r, 2100, "stopped", "stopped");
    SAYS(total(p, 0, 99999, 5100), 1100 * 2000, 1100 * 1024, (1100 + 3000) * 3072);
    moved(p, &r, 5100, "archiving", "archived");
    moved(p, &r, 5200, "archived", "archived");
    SAYS(total(p, 0, 99999, 90000), 1100 * 2000, 1100 * 1024, 4200 * 3072);
    moved(p, &r, 8000, "restoring", "started");
    moved(p, &r, 8500, "started", "started");
    r.res.cpu_millis = 4000;
    moved(p, &r, 9000, "resizing", "started");
    moved(p, &r, 9001, "started", "started");
    moved(p, &r, 10000, "pausing", "paused");
    moved(p, &r, 10000, "paused", "paused");
    moved(p, &r, 11000, "resuming", "started");
    moved(p, &r, 11500, "destroying", "destroyed");
    moved(p, &r, 11600, "destroyed", "destroyed");
    int64_t cpu = 1100 * 2000 + 1000 * 2000 + 1000 * 4000 + 500 * 4000;
    SAYS(total(p, 0, 99999, 90000), cpu, (1100 + 3500) * 1024, (4200 + 3500) * 3072);
    /* Any window adds up to the whole. */
    int64_t sum = 0;
    for (int64_t at = 0; at < 13000; at += 700)
        sum += total(p, at, at + 700, 90000).cpu;
    assert_int_equal(sum, cpu);
}

/* The program ends and comes back: an open period goes on, and is counted once. */
static void test_restarts(void **state)
{
    struct place *p = *state;
    struct dt_sandbox_row r = row_of(ID);
    born(p, &r, 1000);
    for (int i = 0; i < 3; i++) {
        (void)dt_db_conn_close(p->c);
        open_store(p);
        moved(p, &r, 2000 + i, "started", "started");
    }
    SAYS(total(p, 0, 99999, 3000), 2000 * 2000, 2000 * 1024, 2000 * 3072);
}

/* What was rolled back never was. */
static void test_roll_back(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    struct dt_sandbox_row r = row_of(ID);
    born(p, &r, 1000);
    OK(dt_db_begin(p->c, true, &err));
    moved(p, &r, 1500, "stopped", "stopped");
    dt_db_rollback(p->c);
    SAYS(total(p, 0, 99999, 2000), 1000 * 2000, 1000 * 1024, 1000 * 3072);
}

static void test_a_clock_that_goes_back(void **state)
{
    struct place *p = *state;
    struct dt_sandbox_row r = row_of(ID);
    born(p, &r, 5000);
    moved(p, &r, 3000, "stopped", "stopped");
    moved(p, &r, 6000, "started", "started");
    moved(p, &r, 6500, "destroying", "destroyed");
    SAYS(total(p, 0, 99999, 9000), 500 * 2000, 500 * 1024, 1500 * 3072);
}

static int count_each(void *ctx, const struct dt_usage *u, struct dt_err *err)
{
    (void)err;
    struct dt_usage *sum = ctx;
    assert_true(strcmp(u->sandbox, sum->sandbox) > 0);
    memcpy(sum->sandbox, u->sandbox, sizeof(sum->sandbox));
    sum->cpu += u->cpu;
    sum->memory += u->memory;
    sum->disk += u->disk;
    return 0;
}

static void test_the_parts_are_the_whole(void **state)
{
    struct place *p = *state;
    struct dt_err err;
    for (int i = 0; i < 20; i++) {
        char id[DT_UUID_SIZE];
        (void)snprintf(id, sizeof(id), "aaaaaaaa-0000-4000-8000-%012d", i);
        struct dt_sandbox_row r = row_of(id);
        born(p, &r, 1000 + i);
        if (i % 2 == 0)
            moved(p, &r, 2000, "stopped", "stopped");
        if (i % 3 == 0)
            moved(p, &r, 3000, "destroyed", "destroyed");
    }
    struct dt_usage sum = {.cpu = 0};
    int64_t n = 0;
    struct dt_usage_query q = {
        .org = ORG, .from_ms = 500, .to_ms = 9000, .now_ms = 8000, .limit = 7};
    for (int pages = 0; pages < 4; pages++) {
        char after[DT_UUID_SIZE];
        memcpy(after, sum.sandbox, sizeof(after));
        q.after = pages > 0 ? after : NULL;
        OK(dt_store_usage_each(p->c, &q, count_each, &sum, &err));
    }
    struct dt_usage whole;
    OK(dt_store_usage_total(p->c, &q, &whole, &n, &err));
    assert_int_equal(n, 20);
    SAYS(sum, whole.cpu, whole.memory, whole.disk);
    assert_true(whole.cpu > 0);
    q.sandbox = "aaaaaaaa-0000-4000-8000-000000000000";
    OK(dt_store_usage_total(p->c, &q, &whole, &n, &err));
    assert_int_equal(n, 1);
    SAYS(whole, 1000 * 2000, 1000 * 1024, 2000 * 3072);
    q.org = "22222222-0000-4000-8000-000000000000";
    OK(dt_store_usage_total(p->c, &q, &whole, &n, &err));
    assert_int_equal(n, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_place, close_place)
    const struct CMUnitTest tests[] = {
        TEST(test_a_life),
        TEST(test_restarts),
        TEST(test_roll_back),
        TEST(test_a_clock_that_goes_back),
        TEST(test_the_parts_are_the_whole),
    };
    return cmocka_run_group_tests_name("usage", tests, NULL, NULL);
}
