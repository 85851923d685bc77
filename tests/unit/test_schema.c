#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sample/permissions.h"
#include "sample/rest_api.h"

static int parse(const char *text, struct dt_rest_box *box, struct dt_err *err)
{
    DT_AUTO_JSON json_t *j = dt_json_parse(dt_str_z(text), 16, err);
    assert_non_null(j);
    return dt_rest_box_parse(j, box, err);
}

static void test_violations(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"{}", "name is required"},
        {"{\"name\":null}", "name is required"},
        {"{\"name\":\"\"}", "name should not be empty"},
        {"{\"name\":7}", "name must be a string"},
        {"{\"name\":\"12345678901\"}", "name must be at most 10 bytes"},
        {"{\"name\":\"a\\u0000b\"}", "name must not contain a NUL character"},
        {"{\"name\":\"a\",\"cpu\":1.5}", "cpu must be an integer number"},
        {"{\"name\":\"a\",\"cpu\":\"1\"}", "cpu must be an integer number"},
        {"{\"name\":\"a\",\"cpu\":0}", "cpu must not be less than 1"},
        {"{\"name\":\"a\",\"cpu\":5}", "cpu must not be greater than 4"},
        {"{\"name\":\"a\",\"ratio\":\"x\"}", "ratio must be a number"},
        {"{\"name\":\"a\",\"public\":1}", "public must be a boolean value"},
        {"{\"name\":\"a\",\"kind\":\"big\"}",
         "kind must be one of the following values: small, large"},
        {"{\"name\":\"a\",\"env\":[]}", "env must be an object"},
        {"{\"name\":\"a\",\"env\":{\"A\":1}}", "env.A must be a string"},
        {"{\"name\":\"a\",\"env\":{\"A\":\"\",\"B\":\"\",\"C\":\"\"}}",
         "env must have at most 2 members"},
        {"{\"name\":\"a\",\"tags\":[\"x\",2]}", "tags.1 must be a string"},
        {"{\"name\":\"a\",\"tags\":{}}", "tags must be an array"},
        {"{\"name\":\"a\",\"tags\":[]}", "tags should not be empty"},
        {"{\"name\":\"a\",\"inner\":{}}", "inner.x is required"},
        {"{\"name\":1,\"cpu\":9}", "name must be a string, cpu must not be greater than 4"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_err err;
        struct dt_rest_box box = {.name = "untouched"};
        assert_int_equal(parse(rows[i].text, &box, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        assert_string_equal(err.msg, rows[i].want);
        assert_string_equal(box.name, "untouched");
    }
}

static void test_values_and_defaults(void **state)
{
    (void)state;
    struct dt_err err;
    struct dt_rest_box box;
    assert_int_equal(
        parse("{\"name\":\"a\",\"auto_stop\":3,\"unknown\":[],\"content\":\"x\\u0000y\","
              "\"public\":false,\"cpu\":3.0}",
              &box, &err),
        0);
    assert_string_equal(box.name, "a");
    assert_int_equal(box.cpu, 3);
    assert_true(box.has_cpu);
    assert_int_equal(box.auto_stop, 3);
    assert_string_equal(box.kind, "small");
    assert_true(box.has_is_public);
    assert_false(box.is_public);
    assert_int_equal(box.content.n, 3);
    assert_null(box.env);
    dt_rest_box_done(&box);

    assert_int_equal(parse("{\"name\":\"a\"}", &box, &err), 0);
    assert_int_equal(box.cpu, 2);
    assert_false(box.has_cpu);
    dt_rest_box_done(&box);
}

static void test_print(void **state)
{
    (void)state;
    struct dt_rest_box box = {
        .name = "a\"b", .ratio = 1.5, .has_ratio = true, .has_is_public = true};
    DT_AUTO_JSON json_t *j = dt_rest_box_print(&box);
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 1024);
    assert_int_equal(dt_json_write(j, &b, NULL), 0);
    assert_string_equal(b.p, "{\"name\":\"a\\\"b\",\"ratio\":1.5,\"public\":false,\"note\":null}");
}

static void test_query(void **state)
{
    (void)state;
    struct dt_err err;
    struct dt_rest_box box;
    assert_int_equal(
        dt_rest_box_parse_query(DT_STR("name=a%20b+c&tags=x&tags=y&cpu=4&public=true&other=%zz2"),
                                &box, &err),
        -1);
    assert_int_equal(
        dt_rest_box_parse_query(DT_STR("name=a%20b+c&tags=x&tags=y&cpu=4&public=true"), &box, &err),
        0);
    assert_string_equal(box.name, "a b c");
    assert_int_equal(json_array_size(box.tags), 2);
    assert_int_equal(box.cpu, 4);
    assert_true(box.is_public);
    dt_rest_box_done(&box);
    assert_int_equal(dt_rest_box_parse_query(DT_STR("name=a&cpu=four"), &box, &err), -1);
    assert_string_equal(err.msg, "cpu must be an integer number");
    assert_int_equal(dt_rest_box_parse_query(DT_STR("name=%e9"), &box, &err), -1);
    assert_string_equal(err.msg, "name is not valid UTF-8");
}

static void test_routes(void **state)
{
    (void)state;
    assert_int_equal(DT_REST_OP_COUNT, 2);
    const struct dt_route *get = &dt_rest_routes[DT_REST_BOX_GET];
    const struct dt_route *make = &dt_rest_routes[DT_REST_BOX_MAKE];
    assert_int_equal(make->permissions, DT_PERM_WRITE_BOXES);
    assert_int_equal(make->status, 201);
    assert_int_equal(make->access, DT_ACCESS_OWNER);
    assert_int_equal(make->services, DT_SERVICE_PROXY | DT_SERVICE_RUNNER);
    assert_int_equal(make->org_param, 1);
    assert_true(make->login && make->active);
    assert_string_equal(make->unserved, "later");
    assert_int_equal(get->access, DT_ACCESS_OPEN);
    assert_int_equal(get->org_param, -1);
    assert_false(get->login || get->active);
    assert_null(get->audit);
    assert_null(get->unserved);
    assert_string_equal(make->target, "box");
    assert_int_equal(make->target_param, -1);
    assert_string_equal(make->target_key, "id");
    assert_non_null(make->body);
    assert_null(make->query);
    assert_null(get->target);
}

static void test_shown(void **state)
{
    (void)state;
    struct dt_err err;
    const struct dt_schema_object *box = dt_rest_routes[DT_REST_BOX_MAKE].body;
    DT_AUTO_JSON json_t *in = dt_json_parse(
        DT_STR("{\"name\":\"a\",\"cpu\":\"wrong\",\"token\":\"t0p\",\"other\":\"t0p\","
               "\"secrets\":{\"K\":\"t0p\"},\"inner\":{\"x\":1,\"y\":\"t0p\"}}"),
        16, &err);
    DT_AUTO_JSON json_t *out = dt_schema_shown(box, in);
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, 4096);
    assert_int_equal(dt_json_write(out, &text, &err), 0);
    assert_string_equal(text.p, "{\"name\":\"a\",\"cpu\":\"wrong\",\"inner\":{\"x\":1},"
                                "\"token\":\"********\",\"secrets\":{\"K\":\"********\"}}");
    DT_AUTO_JSON json_t *query =
        dt_schema_shown_query(box, DT_STR("cpu=3&token=t0p&secrets=t0p&other=t0p&name=%"));
    dt_buf_clear(&text);
    assert_int_equal(dt_json_write(query, &text, &err), 0);
    assert_string_equal(text.p, "{\"cpu\":3,\"token\":\"********\",\"secrets\":\"********\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_violations), cmocka_unit_test(test_values_and_defaults),
        cmocka_unit_test(test_print),      cmocka_unit_test(test_query),
        cmocka_unit_test(test_routes),     cmocka_unit_test(test_shown),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
