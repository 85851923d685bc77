#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "runnerd/holdings.h"

#define ORG   "11111111-0000-4000-8000-000000000000"
#define OTHER "22222222-0000-4000-8000-000000000000"

static const struct dt_resources most = {10000, 10240, 30720}, none = {0};

static int setup(void **state)
{
    struct dt_err err;
    struct dt_holdings *h;
    if (dt_holdings_new(&h, &err) < 0)
        return -1;
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    (void)dt_holdings_free(*state);
    return 0;
}

static void test_what_fits_is_taken(void **state)
{
    struct dt_holdings *h = *state;
    struct dt_err err;
    struct dt_resources a = {0}, b = {0}, c = {0};
    const struct dt_resources want = {6000, 4096, 10240};
    assert_int_equal(dt_holdings_try(h, ORG, &a, &want, &most, &err), 0);
    assert_true(dt_resources_equal(&a, &want));
    assert_int_equal(dt_holdings_try(h, ORG, &b, &want, &most, &err), -1);
    assert_int_equal(err.code, DT_E_BAD_REQUEST);
    assert_string_equal(err.msg, "Total CPU limit exceeded. Maximum allowed: 10.\n"
                                 "Stop or destroy a sandbox first");
    assert_true(dt_resources_equal(&b, &none));
    /* Each organization has its own. */
    assert_int_equal(dt_holdings_try(h, OTHER, &c, &want, &most, &err), 0);
    /* To the last bit, and no further. */
    const struct dt_resources rest = {4000, 6144, 20480}, bit = {1, 0, 0};
    assert_int_equal(dt_holdings_try(h, ORG, &b, &rest, &most, &err), 0);
    struct dt_resources d = {0};
    assert_int_equal(dt_holdings_try(h, ORG, &d, &bit, &most, &err), -1);
    const struct dt_resources sum = dt_holdings_of(h, ORG);
    assert_true(dt_resources_equal(&sum, &most));
    dt_holdings_set(h, ORG, &a, &none);
    assert_int_equal(dt_holdings_try(h, ORG, &d, &bit, &most, &err), 0);
    assert_true(dt_holdings_of(h, OTHER).cpu_millis == 6000);
    assert_true(dt_holdings_of(h, "33333333-0000-4000-8000-000000000000").cpu_millis == 0);
}

static void test_which_amount_is_named(void **state)
{
    struct dt_holdings *h = *state;
    static const struct {
        struct dt_resources want;
        const char *text;
    } rows[] = {
        {{10001, 10241, 30721}, "Total CPU limit exceeded. Maximum allowed: 10."},
        {{10000, 10241, 30721}, "Total memory limit exceeded. Maximum allowed: 10GiB."},
        {{10000, 10240, 30721}, "Total disk limit exceeded. Maximum allowed: 30GiB."},
    };
    for (size_t i = 0; i < 3; i++) {
        struct dt_err err;
        struct dt_resources a = {0};
        assert_int_equal(dt_holdings_try(h, ORG, &a, &rows[i].want, &most, &err), -1);
        assert_non_null(strstr(err.msg, rows[i].text));
    }
}

/* Above the quota (it was lowered) what needs less is still allowed, and what needs more is not. */
static void test_what_shrinks_is_never_refused(void **state)
{
    struct dt_holdings *h = *state;
    struct dt_err err;
    struct dt_resources a = {0};
    const struct dt_resources large = {20000, 20480, 61440}, less = {15000, 20480, 61440},
                              more = {15001, 20480, 61440};
    dt_holdings_set(h, ORG, &a, &large);
    assert_int_equal(dt_holdings_try(h, ORG, &a, &less, &most, &err), 0);
    assert_int_equal(dt_holdings_try(h, ORG, &a, &more, &most, &err), -1);
    assert_true(dt_holdings_of(h, ORG).cpu_millis == 15000);
}

enum { THREADS = 8, TRIES = 1000 };

struct crowd {
    struct dt_holdings *h;
    unsigned got;
};

static void *take_all(void *arg)
{
    struct crowd *c = arg;
    static const struct dt_resources one = {1, 1, 1}, cap = {2500, 2500, 2500};
    for (int i = 0; i < TRIES; i++) {
        struct dt_resources mine = {0};
        struct dt_err err;
        if (dt_holdings_try(c->h, ORG, &mine, &one, &cap, &err) == 0)
            c->got++;
    }
    return NULL;
}

static void test_many_at_once(void **state)
{
    pthread_t threads[THREADS];
    struct crowd crowds[THREADS];
    unsigned got = 0;
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (struct crowd){.h = *state};
        assert_int_equal(pthread_create(&threads[i], NULL, take_all, &crowds[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        got += crowds[i].got;
    }
    assert_int_equal(got, 2500);
    assert_true(dt_holdings_of(*state, ORG).disk_mib == 2500);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_fits_is_taken),
        TEST(test_which_amount_is_named),
        TEST(test_what_shrinks_is_never_refused),
        TEST(test_many_at_once),
    };
    return cmocka_run_group_tests_name("holdings", tests, NULL, NULL);
}
