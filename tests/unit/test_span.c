#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "model/span.h"

static void test_the_last_ones_stay(void **state)
{
    (void)state;
    DT_AUTO_FREE struct dt_spans *all = NULL;
    struct dt_err err;
    assert_int_equal(dt_spans_count(all), 0);
    for (size_t i = 0; i < 3 * DT_SPANS_MAX + 5; i++) {
        const struct dt_span s = {.start_ms = (int64_t)i};
        assert_int_equal(dt_spans_add(&all, &s, &err), 0);
        size_t n = dt_spans_count(all), want = i + 1 < DT_SPANS_MAX ? i + 1 : DT_SPANS_MAX;
        assert_int_equal(n, want);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(dt_spans_at(all, k)->start_ms, i + 1 - n + k);
    }
}

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static void test_parents(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool good;
    } rows[] = {
        {"00-" TRACE "-" PARENT "-01", true},
        {" 00-" TRACE "-" PARENT "-00 ", true},
        {"cc-" TRACE "-" PARENT "-01", true},
        {"cc-" TRACE "-" PARENT "-01-what-comes-later", true},
        {"00-" TRACE "-" PARENT "-01-more", false},
        {"00-" TRACE "-" PARENT "-01-", false},
        {"ff-" TRACE "-" PARENT "-01", false},
        {"00-" TRACE "-" PARENT, false},
        {"00-" TRACE "-" PARENT "-1", false},
        {"00-" TRACE "-" PARENT "-0g", false},
        {"0-" TRACE "-" PARENT "-01", false},
        {"00-00000000000000000000000000000000-" PARENT "-01", false},
        {"00-" TRACE "-0000000000000000-01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01", false},
        {"00-" TRACE "0-" PARENT "-01", false},
        {"00" TRACE PARENT "01", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_span s = {.trace = {0}};
        assert_int_equal(dt_span_read_parent(dt_str_z(rows[i].header), &s), rows[i].good);
        assert_int_equal(s.trace[0], rows[i].good ? 0x0a : 0);
        assert_int_equal(s.trace[15], rows[i].good ? 0x9c : 0);
        assert_int_equal(s.parent[7], rows[i].good ? 0x31 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_ones_stay),
        cmocka_unit_test(test_parents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
