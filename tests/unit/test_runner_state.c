#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "model/runner_state.h"

enum { NOW = 1000000000 };

static void test_how_a_runner_is(void **state)
{
    (void)state;
    static const struct {
        int64_t checked_ms;
        bool trouble;
        const char *text;
    } cases[] = {
        {0, false, "initializing"},
        {0, true, "initializing"},
        {NOW, false, "ready"},
        {NOW, true, "unresponsive"},
        {NOW - DT_RUNNER_REPORT_MS, false, "ready"},
        {NOW - DT_RUNNER_SILENT_MS, false, "ready"},
        {NOW - DT_RUNNER_SILENT_MS - 1, false, "unresponsive"},
        {NOW + 3600 * 1000, false, "ready"}, /* the clock was set back */
        {1, false, "unresponsive"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(
            dt_runner_state_text(dt_runner_state(cases[i].checked_ms, cases[i].trouble, NOW)),
            cases[i].text);
}

static void test_the_busiest_part_counts(void **state)
{
    (void)state;
    static const struct {
        double cpu, memory, disk, score;
    } cases[] = {{0, 0, 0, 100},       {45.5, 10, 20, 54}, {10, 60.2, 20, 39},
                 {10, 20, 100, 0},     {250, 10, 10, 0},   {NAN, 30, NAN, 70},
                 {NAN, NAN, NAN, 100}, {-5, -5, -5, 100},  {INFINITY, 0, 0, 0.0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(dt_runner_score(cases[i].cpu, cases[i].memory, cases[i].disk) ==
                    cases[i].score);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_how_a_runner_is),
        cmocka_unit_test(test_the_busiest_part_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
