#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runnerd/live.h"

static const char id[] = "11111111-1111-4111-8111-111111111111";
static const char org[] = "22222222-2222-4222-8222-222222222222";

static void test_an_answer_is_kept_until_a_change(void **state)
{
    (void)state;
    struct dt_live_table t = {0};
    struct dt_live *l = dt_live_add(&t, id, org, "box");
    assert_non_null(l);
    assert_null(l->answer);
    dt_live_keep(l, l->version, DT_STR("{\"a\":1}"));
    assert_string_equal(l->answer, "{\"a\":1}");
    assert_int_equal(l->answer_size, 7);
    dt_live_keep(l, l->version, DT_STR("{}")); /* a second read that ran beside the first */
    assert_string_equal(l->answer, "{}");
    dt_live_changed(l);
    assert_null(l->answer);
    dt_live_keep(l, l->version, DT_STR("{}"));
    dt_live_touch(l);
    assert_null(l->answer);
    dt_live_keep(l, l->version, DT_STR("{}"));
    dt_live_remove(&t, l);
    assert_int_equal(t.count, 0);
}

static void test_an_answer_from_before_a_change_is_not_kept(void **state)
{
    (void)state;
    struct dt_live_table t = {0};
    struct dt_live *l = dt_live_add(&t, id, org, "box");
    assert_non_null(l);
    uint64_t before = l->version;
    dt_live_changed(l);
    dt_live_keep(l, before, DT_STR("{}"));
    assert_null(l->answer);
    dt_live_clear(&t);
}

static void test_a_long_answer_is_not_kept(void **state)
{
    (void)state;
    static const char text[DT_LIVE_ANSWER_MAX + 1];
    struct dt_live_table t = {0};
    struct dt_live *l = dt_live_add(&t, id, org, "box");
    assert_non_null(l);
    dt_live_keep(l, l->version, dt_str(text, sizeof(text)));
    assert_null(l->answer);
    dt_live_keep(l, l->version, dt_str(text, DT_LIVE_ANSWER_MAX));
    assert_int_equal(l->answer_size, DT_LIVE_ANSWER_MAX);
    dt_live_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_is_kept_until_a_change),
        cmocka_unit_test(test_an_answer_from_before_a_change_is_not_kept),
        cmocka_unit_test(test_a_long_answer_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
