#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/telemetry.h"

enum { N = 64 };

struct world {
    struct dt_telemetry_pool all;
    struct dt_telemetry of[N];
    int64_t at_ms;
};

static void sample(struct world *w, unsigned i)
{
    struct dt_err err;
    const struct dt_sample s = {.at_ms = ++w->at_ms, .span_ms = 1};
    assert_int_equal(dt_telemetry_add_sample(&w->all, &w->of[i], &s, &err), 0);
}

static void span(struct world *w, unsigned i)
{
    struct dt_err err;
    const struct dt_span s = {.start_ms = ++w->at_ms};
    assert_int_equal(dt_telemetry_add_span(&w->all, &w->of[i], &s, &err), 0);
}

static size_t samples(const struct world *w, unsigned i)
{
    size_t n;
    (void)dt_history_samples(w->of[i].history, &n);
    return n;
}

/* What the pool says is what there is, in both directions. */
static void check(const struct world *w)
{
    size_t bytes = 0, forwards = 0, backwards = 0, known = 0;
    for (const struct dt_telemetry *t = w->all.newest; t != NULL; t = t->older)
        forwards++;
    for (const struct dt_telemetry *t = w->all.oldest; t != NULL; t = t->newer)
        backwards++;
    for (unsigned i = 0; i < N; i++) {
        const struct dt_telemetry *t = &w->of[i];
        assert_int_equal(t->bytes, dt_history_bytes(t->history) + dt_spans_bytes(t->spans));
        bytes += t->bytes;
        known += t->bytes > 0;
    }
    assert_int_equal(w->all.bytes, bytes);
    assert_int_equal(forwards, known);
    assert_int_equal(backwards, known);
}

static void clear(struct world *w)
{
    for (unsigned i = 0; i < N; i++)
        dt_telemetry_forget(&w->all, &w->of[i]);
    check(w);
    assert_int_equal(w->all.bytes, 0);
}

static void test_what_is_known_is_counted(void **state)
{
    (void)state;
    struct world w = {.at_ms = 0};
    check(&w);
    sample(&w, 0);
    size_t one = w.all.bytes;
    assert_true(one >= sizeof(struct dt_sample));
    check(&w);
    for (int i = 0; i < 3 * DT_HISTORY_MAX; i++)
        sample(&w, 0);
    for (int i = 0; i < 3 * DT_SPANS_MAX; i++)
        span(&w, 0);
    check(&w);
    assert_true(w.all.bytes >=
                DT_HISTORY_MAX * sizeof(struct dt_sample) + DT_SPANS_MAX * sizeof(struct dt_span));
    assert_true(w.all.bytes <= 11 << 10); /* as docs/telemetry.md says */
    sample(&w, 1);
    span(&w, 2);
    check(&w);
    dt_telemetry_forget(&w.all, &w.of[0]);
    assert_int_equal(samples(&w, 0), 0);
    assert_int_equal(dt_spans_count(w.of[0].spans), 0);
    check(&w);
    dt_telemetry_forget(&w.all, &w.of[0]); /* once more is fine */
    sample(&w, 0);
    assert_int_equal(samples(&w, 0), 1);
    clear(&w);
}

static void test_the_oldest_goes_first(void **state)
{
    (void)state;
    struct world w = {.at_ms = 0};
    sample(&w, 0);
    size_t one = w.all.bytes;
    w.all.max = 4 * one;
    for (unsigned i = 1; i < 4; i++)
        sample(&w, i);
    check(&w);
    assert_int_equal(samples(&w, 0), 1);
    sample(&w, 0); /* now 1 is the oldest */
    assert_int_equal(samples(&w, 0), 2);
    sample(&w, 4);
    assert_int_equal(samples(&w, 1), 0);
    sample(&w, 1);
    assert_int_equal(samples(&w, 2), 0);
    assert_int_equal(samples(&w, 1), 1);
    assert_int_equal(samples(&w, 0), 2);
    check(&w);
    /* One that needs all of it has it. */
    for (int i = 0; i < DT_HISTORY_MAX; i++)
        sample(&w, 3);
    assert_int_equal(samples(&w, 3), DT_HISTORY_MAX);
    assert_int_equal(w.all.bytes, w.of[3].bytes);
    clear(&w);
}

static void test_the_limit_holds(void **state)
{
    (void)state;
    struct world w = {.all = {.max = 40000}};
    srand(1);
    for (int i = 0; i < 20000; i++) {
        unsigned which = (unsigned)rand() % N;
        switch (rand() % 8) {
        case 0:
            dt_telemetry_forget(&w.all, &w.of[which]);
            break;
        case 1:
        case 2:
            sample(&w, which);
            break;
        default:
            span(&w, which);
        }
        assert_true(w.all.bytes <= w.all.max);
        if (i % 100 == 0)
            check(&w);
    }
    assert_true(w.all.bytes > w.all.max / 2);
    clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_known_is_counted),
        cmocka_unit_test(test_the_oldest_goes_first),
        cmocka_unit_test(test_the_limit_holds),
    };
    return cmocka_run_group_tests_name("telemetry", tests, NULL, NULL);
}
