#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mcp/era.h"

#define M           "io.modelcontextprotocol/"
#define MODERN      "\"" M "protocolVersion\":\"2026-07-28\",\"" M "clientCapabilities\":{}"
#define META(inner) "{\"_meta\":{" inner "}}"

static const struct {
    const char *asked;
    enum dt_era era;
} versions[] = {
    {"2024-11-05", DT_ERA_2024_11_05}, {"2025-03-26", DT_ERA_2025_03_26},
    {"2025-06-18", DT_ERA_2025_06_18}, {"2025-11-25", DT_ERA_2025_11_25},
    {"2026-07-28", DT_ERA_2025_11_25}, {"2024-10-07", DT_ERA_2025_11_25},
    {"1.0", DT_ERA_2025_11_25},        {"", DT_ERA_2025_11_25},
    {NULL, DT_ERA_2025_11_25},
};

static void test_negotiate(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
        assert_int_equal(dt_era_negotiate(versions[i].asked), versions[i].era);
}

static const struct {
    const char *method;
    const char *params; /* NULL: none */
    enum dt_era agreed;
    int code; /* 0: works */
    enum dt_era era;
} rows[] = {
    {"tools/list", NULL, DT_ERA_2024_11_05, 0, DT_ERA_2024_11_05},
    {"tools/list", NULL, DT_ERA_2025_11_25, 0, DT_ERA_2025_11_25},
    {"tools/list", "{\"_meta\":{\"progressToken\":1}}", DT_ERA_2025_06_18, 0, DT_ERA_2025_06_18},
    {"tools/list", "{\"_meta\":null}", DT_ERA_2025_06_18, 0, DT_ERA_2025_06_18},
    {"tools/list", NULL, DT_ERA_NONE, 0, DT_ERA_2025_11_25},
    {"server/discover", NULL, DT_ERA_NONE, 0, DT_ERA_2026_07_28},
    {"server/discover", NULL, DT_ERA_2025_06_18, 0, DT_ERA_2026_07_28},
    /* A modern request, whatever was agreed on before. */
    {"tools/list", META(MODERN), DT_ERA_NONE, 0, DT_ERA_2026_07_28},
    {"tools/list", META(MODERN), DT_ERA_2024_11_05, 0, DT_ERA_2026_07_28},
    {"tools/list", META(MODERN ",\"" M "clientInfo\":{},\"" M "logLevel\":\"debug\""), DT_ERA_NONE,
     0, DT_ERA_2026_07_28},
    /* Versions that we do not have in that form. */
    {"tools/list", META("\"" M "protocolVersion\":\"2027-01-01\""), DT_ERA_NONE, -32022, 0},
    {"tools/list", META("\"" M "protocolVersion\":\"2025-11-25\""), DT_ERA_2025_11_25, -32022, 0},
    {"server/discover", META("\"" M "protocolVersion\":\"1\""), DT_ERA_NONE, -32022, 0},
    /* Missing or wrong members. */
    {"tools/list", META("\"" M "protocolVersion\":\"2026-07-28\""), DT_ERA_NONE, -32602, 0},
    {"tools/list", META("\"" M "protocolVersion\":7"), DT_ERA_NONE, -32602, 0},
    {"tools/list", META("\"" M "clientCapabilities\":{}"), DT_ERA_2025_11_25, -32602, 0},
    {"tools/list", META("\"" M "clientInfo\":{}"), DT_ERA_2025_11_25, -32602, 0},
    {"tools/list", META("\"" M "protocolVersion\":\"2026-07-28\",\"" M "clientCapabilities\":[]"),
     DT_ERA_NONE, -32602, 0},
    {"tools/list", META(MODERN ",\"" M "clientInfo\":1"), DT_ERA_NONE, -32602, 0},
    {"tools/list", META(MODERN ",\"" M "logLevel\":\"loud\""), DT_ERA_NONE, -32602, 0},
    {"tools/list", META(MODERN ",\"" M "logLevel\":1"), DT_ERA_NONE, -32602, 0},
    {"tools/list", "{\"_meta\":1}", DT_ERA_NONE, -32602, 0},
};

static void test_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_err err;
        struct dt_rpc_err why = {0};
        enum dt_era era = DT_ERA_NONE;
        DT_AUTO_JSON json_t *params =
            rows[i].params != NULL ? dt_json_parse(dt_str_z(rows[i].params), 8, &err) : NULL;
        int ret = dt_era_of(rows[i].method, params, rows[i].agreed, &era, &why);
        assert_int_equal(ret, rows[i].code == 0 ? 0 : -1);
        assert_int_equal(why.code, rows[i].code);
        if (ret == 0)
            assert_int_equal(era, rows[i].era);
    }
}

static void test_unsupported_data(void **state)
{
    (void)state;
    struct dt_err err;
    struct dt_rpc_err why;
    enum dt_era era;
    DT_AUTO_JSON json_t *params =
        dt_json_parse(DT_STR(META("\"" M "protocolVersion\":\"9\\\"\"")), 8, &err);
    assert_int_equal(dt_era_of("tools/list", params, DT_ERA_NONE, &era, &why), -1);
    assert_string_equal(why.data, "{\"supported\":[\"2026-07-28\"],\"requested\":\"9\\\"\"}");
}

static void test_batches(void **state)
{
    (void)state;
    assert_false(dt_era_has_batches(DT_ERA_NONE));
    assert_true(dt_era_has_batches(DT_ERA_2024_11_05));
    assert_true(dt_era_has_batches(DT_ERA_2025_03_26));
    assert_false(dt_era_has_batches(DT_ERA_2025_06_18));
    assert_false(dt_era_has_batches(DT_ERA_2025_11_25));
    assert_false(dt_era_has_batches(DT_ERA_2026_07_28));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_negotiate),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_unsupported_data),
        cmocka_unit_test(test_batches),
    };
    return cmocka_run_group_tests_name("era", tests, NULL, NULL);
}
