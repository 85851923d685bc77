#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "model/history.h"

enum { MINUTE = 60000 };

static void add(struct dt_history **h, int64_t at_ms, uint32_t span_ms, float used, float limit)
{
    struct dt_err err;
    const struct dt_sample s = {
        .at_ms = at_ms,
        .span_ms = span_ms,
        .values = {[DT_GAUGE_CPU_PERCENT] = used, [DT_GAUGE_MEMORY_LIMIT] = limit}};
    assert_int_equal(dt_history_add(h, &s, &err), 0);
}

static void test_none(void **state)
{
    (void)state;
    size_t n = 7;
    assert_null(dt_history_samples(NULL, &n));
    assert_int_equal(n, 0);
}

static void test_all_are_kept_while_there_is_room(void **state)
{
    (void)state;
    DT_AUTO_FREE struct dt_history *h = NULL;
    for (int i = 1; i <= DT_HISTORY_MAX; i++) {
        add(&h, i * MINUTE, MINUTE, (float)i, 1);
        size_t n;
        const struct dt_sample *s = dt_history_samples(h, &n);
        assert_int_equal(n, i);
        assert_int_equal(s[0].at_ms, MINUTE);
        assert_int_equal(s[n - 1].at_ms, i * MINUTE);
        assert_true(s[n - 1].values[DT_GAUGE_CPU_PERCENT] == (float)i);
    }
}

/* A month of minutes: what is recent is fine, what is old is coarse, and nothing is missing. */
static void test_a_month(void **state)
{
    (void)state;
    DT_AUTO_FREE struct dt_history *h = NULL;
    const int64_t end = 30 * 24 * 60;
    double sum = 0;
    for (int64_t i = 1; i <= end; i++) {
        float used = (float)(i % 100);
        sum += used;
        add(&h, i * MINUTE, MINUTE, used, (float)i);
    }
    size_t n;
    const struct dt_sample *s = dt_history_samples(h, &n);
    double area = 0, spans = 0;
    assert_int_equal(n, DT_HISTORY_MAX);
    for (size_t i = 0; i < n; i++) {
        int64_t from = i > 0 ? s[i - 1].at_ms : 0, age = end * MINUTE - s[i].at_ms;
        assert_true(s[i].at_ms > from);
        assert_int_equal(s[i].span_ms, s[i].at_ms - from); /* without gaps */
        assert_true(s[i].span_ms <= MINUTE || s[i].span_ms < age / 4);
        /* a limit is that of the end of the stretch */
        assert_true(s[i].values[DT_GAUGE_MEMORY_LIMIT] == (float)(s[i].at_ms / MINUTE));
        area += (double)s[i].values[DT_GAUGE_CPU_PERCENT] * s[i].span_ms;
        spans += s[i].span_ms;
    }
    assert_true(spans == (double)end * MINUTE);
    double off = area / spans - sum / (double)end;
    assert_true(off > -0.01 && off < 0.01);
    assert_true(s[0].at_ms < (int64_t)7 * 24 * 60 * MINUTE);
    for (size_t i = n - 10; i < n; i++)
        assert_int_equal(s[i].span_ms, MINUTE);
}

static void test_a_clock_that_goes_back(void **state)
{
    (void)state;
    DT_AUTO_FREE struct dt_history *h = NULL;
    for (int i = 0; i < 3 * DT_HISTORY_MAX; i++)
        add(&h, 1000000 - i, 0, 1, 1);
    size_t n;
    const struct dt_sample *s = dt_history_samples(h, &n);
    assert_int_equal(n, DT_HISTORY_MAX);
    for (size_t i = 1; i < n; i++)
        assert_true(s[i].at_ms > s[i - 1].at_ms);
    assert_true(s[0].values[DT_GAUGE_CPU_PERCENT] == 1);
}

/* The longest stretch that fits: 49 days. */
static void test_spans_do_not_overflow(void **state)
{
    (void)state;
    DT_AUTO_FREE struct dt_history *h = NULL;
    for (int64_t i = 1; i <= DT_HISTORY_MAX + 1; i++)
        add(&h, i * UINT32_MAX, UINT32_MAX, 1, 1);
    size_t n;
    const struct dt_sample *s = dt_history_samples(h, &n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(s[i].span_ms, UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_all_are_kept_while_there_is_room),
        cmocka_unit_test(test_a_month),
        cmocka_unit_test(test_a_clock_that_goes_back),
        cmocka_unit_test(test_spans_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
