#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "json/route.h"

static const struct dt_route routes[] = {
    {.id = "list", .method = "GET", .path = "/files"},
    {.id = "add", .method = "POST", .path = "/files"},
    {.id = "first", .method = "GET", .path = "/jobs/first"},
    {.id = "job", .method = "GET", .path = "/jobs/{id}"},
    {.id = "log", .method = "GET", .path = "/jobs/{id}/logs/{log}"},
};

static void test_find(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *id, *first, *second;
    } rows[] = {
        {"GET", "/files", "list", "", ""},
        {"HEAD", "/files", "list", "", ""},
        {"POST", "/files", "add", "", ""},
        {"GET", "/files/", "list", "", ""},
        {"get", "/files", "", "", ""},
        {"DELETE", "/files", "", "", ""},
        {"GET", "/", "", "", ""},
        {"GET", "", "", "", ""},
        {"GET", "/files//", "", "", ""},
        {"GET", "//files", "", "", ""},
        {"GET", "/file%73", "", "", ""},
        {"GET", "/Files", "", "", ""},
        {"GET", "/files/x", "", "", ""},
        {"GET", "/jobs/first", "first", "", ""},
        {"GET", "/jobs/f%2Fx", "job", "f%2Fx", ""},
        {"GET", "/jobs/", "", "", ""},
        {"GET", "/jobs/a/logs/b", "log", "a", "b"},
        {"GET", "/jobs/a/logs/b/", "log", "a", "b"},
        {"GET", "/jobs//logs/b", "", "", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_str segments[DT_ROUTE_SEGMENTS_MAX];
        const struct dt_route *r =
            dt_route_find(routes, sizeof(routes) / sizeof(routes[0]), dt_str_z(rows[i].method),
                          dt_str_z(rows[i].path), segments);
        assert_string_equal(r != NULL ? r->id : "", rows[i].id);
        if (r == NULL)
            continue;
        assert_true(dt_str_eq(segments[0], dt_str_z(rows[i].first)));
        assert_true(dt_str_eq(segments[1], dt_str_z(rows[i].second)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find)};
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
