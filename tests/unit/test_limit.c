#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/limit.h"

static struct dt_limit_name name(uint32_t n, uint32_t what)
{
    struct dt_limit_name who = {.what = what};
    memcpy(who.bytes, &n, sizeof(n));
    return who;
}

static const struct dt_limit three = {.count = 3, .ttl_ms = 1000};

static void test_windows(void **state)
{
    (void)state;
    DT_AUTO_FREE struct dt_limits *l = dt_limits_new();
    struct dt_limit_name who = name(1, 0), other = name(2, 0), elsewhere = name(1, 1);
    for (int64_t i = 0; i < 5; i++) {
        struct dt_limit_state s = dt_limits_hit(l, &who, three, 100 + i);
        assert_int_equal(s.over, i >= 3);
        assert_int_equal(s.remaining, i < 3 ? 2 - i : 0);
        assert_int_equal(s.reset_ms, 1000 - i);
    }
    assert_false(dt_limits_hit(l, &other, three, 105).over);
    assert_false(dt_limits_hit(l, &elsewhere, three, 105).over);
    assert_true(dt_limits_hit(l, &who, three, 1099).over);
    struct dt_limit_state s = dt_limits_hit(l, &who, three, 1100); /* the window is over */
    assert_false(s.over);
    assert_int_equal(s.remaining, 2);
    assert_int_equal(s.reset_ms, 1000);
}

static void test_peek_does_not_count(void **state)
{
    (void)state;
    DT_AUTO_FREE struct dt_limits *l = dt_limits_new();
    struct dt_limit_name who = name(1, 0);
    for (int i = 0; i < 10; i++)
        assert_false(dt_limits_peek(l, &who, three, 0).over);
    for (int i = 0; i < 3; i++) {
        assert_false(dt_limits_peek(l, &who, three, 0).over);
        assert_false(dt_limits_hit(l, &who, three, 0).over);
    }
    assert_true(dt_limits_peek(l, &who, three, 0).over);
    assert_false(dt_limits_peek(l, &who, three, 1000).over);
}

static void test_no_limit(void **state)
{
    (void)state;
    DT_AUTO_FREE struct dt_limits *l = dt_limits_new();
    struct dt_limit_name who = name(1, 0);
    static const struct dt_limit none[] = {{0, 1000}, {3, 0}, {0, 0}};
    for (size_t i = 0; i < 3; i++) {
        for (int k = 0; k < 10; k++)
            assert_false(dt_limits_hit(l, &who, none[i], 5).over);
    }
    for (int k = 0; k < 10; k++)
        assert_false(dt_limits_hit(NULL, &who, three, 5).over);
    assert_null(dt_limits_free(NULL));
}

/* A crowd of newcomers pushes out its own kind, not who has asked the most. */
static void test_a_crowd(void **state)
{
    (void)state;
    DT_AUTO_FREE struct dt_limits *l = dt_limits_new();
    struct dt_limit_name heavy = name(1, 0);
    for (int i = 0; i < 10; i++)
        (void)dt_limits_hit(l, &heavy, three, 0);
    for (uint32_t i = 2; i < 200000; i++) {
        struct dt_limit_name who = name(i, 0);
        assert_false(dt_limits_hit(l, &who, three, 1).over);
    }
    assert_true(dt_limits_peek(l, &heavy, three, 2).over);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_peek_does_not_count),
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_a_crowd),
    };
    return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
