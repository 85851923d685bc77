#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mcp/jsonc.h"

#define BOM "\xEF\xBB\xBF"

static const struct {
    const char *text, *wanted,
        *result; /* result NULL: an error, and `wanted` is part of its text */
} rows[] = {
    /* New members. */
    {"", "{\"a\":1}", "{\n  \"a\": 1\n}\n"},
    {" \n", "{\"a\":1}", "{\n  \"a\": 1\n}\n"},
    {"{}", "{\"a\":1}", "{\n  \"a\": 1\n}"},
    {"{\n}\n", "{\"a\":1}", "{\n  \"a\": 1\n}\n"},
    {"{\n  \"x\": 1\n}\n", "{\"a\":{\"b\":[1,\"c\"]}}",
     "{\n  \"x\": 1,\n  \"a\": {\n    \"b\": [1, \"c\"]\n  }\n}\n"},
    {"{\n\t\"x\": {\n\t\t\"y\": 1\n\t}\n}\n", "{\"x\":{\"z\":{\"q\":1}}}",
     "{\n\t\"x\": {\n\t\t\"y\": 1,\n\t\t\"z\": {\n\t\t\t\"q\": 1\n\t\t}\n\t}\n}\n"},
    {"{\n    \"x\": {}\n}\n", "{\"x\":{\"z\":1}}", "{\n    \"x\": {\n        \"z\": 1\n    }\n}\n"},
    {"{\"x\":1}", "{\"a\":{\"b\":2}}", "{\"x\":1, \"a\": {\"b\":2}}"},
    /* Line ends, byte order mark. */
    {"{\r\n  \"x\": 1\r\n}\r\n", "{\"a\":2}", "{\r\n  \"x\": 1,\r\n  \"a\": 2\r\n}\r\n"},
    {BOM "{\n  \"x\": 1\n}", "{\"a\":2}", BOM "{\n  \"x\": 1,\n  \"a\": 2\n}"},
    {BOM, "{\"a\":2}", "{\n  \"a\": 2\n}\n"},
    /* Comments and trailing commas stay. */
    {"// top\n{\n  // about x\n  \"x\": 1, // end\n  /* last */\n}\n// after\n", "{\"a\":2}",
     "// top\n{\n  // about x\n  \"x\": 1,\n  \"a\": 2, // end\n  /* last */\n}\n// after\n"},
    {"{\n  \"x\": 1 // no comma\n}", "{\"a\":2}", "{\n  \"x\": 1,\n  \"a\": 2 // no comma\n}"},
    {"{ /* empty */ }", "{\"a\":2}", "{\n  \"a\": 2\n /* empty */ }"},
    {"{\n  // nothing yet\n}\n", "{\"a\":2}", "{\n  \"a\": 2\n  // nothing yet\n}\n"},
    {"{\n  \"x\": [1, 2,], // \"a\": 9\n}", "{\"x\":[1,2]}", "{\n  \"x\": [1, 2,], // \"a\": 9\n}"},
    {"{\"u\": \"http://x//y\", \"a\": 1}", "{\"a\":2}", "{\"u\": \"http://x//y\", \"a\": 2}"},
    /* Replacing. */
    {"{\n  \"a\": 1, // why\n  \"b\": 2\n}", "{\"a\":\"new\"}",
     "{\n  \"a\": \"new\", // why\n  \"b\": 2\n}"},
    {"{\"a\": {\"keep\": 1, \"set\": [1]}}", "{\"a\":{\"set\":[2]}}",
     "{\"a\": {\"keep\": 1, \"set\": [2]}}"},
    {"{\"a\": null}", "{\"a\":1}", "{\"a\": 1}"},
    {"{\"a\": 1, \"a\": 2}", "{\"a\":3}", "{\"a\": 1, \"a\": 3}"}, /* parsers take the last */
    {"{\"\\u0061\": 1}", "{\"a\":3}", "{\"\\u0061\": 3}"},
    /* Nothing to do: not a byte moves. */
    {"{\n \"a\" : /* one */ 1 , }", "{\"a\":1}", "{\n \"a\" : /* one */ 1 , }"},
    {"{\"a\": {\"x\": [1, /* c */ 2], \"y\": true}}", "{\"a\":{\"x\":[1,2],\"y\":true}}",
     "{\"a\": {\"x\": [1, /* c */ 2], \"y\": true}}"},
    /* What must be left alone. */
    {"[]", "must hold a JSON object", NULL},
    {"{", "line 1", NULL},
    {"{\n\"a\" 1}", "line 2: expected ':'", NULL},
    {"{\"a\": }", "expected a JSON value", NULL},
    {"{\"a\": 1 \"b\": 2}", "expected ','", NULL},
    {"{\"a\": 1,, }", "member name", NULL},
    {"{,}", "member name", NULL},
    {"{a: 1}", "member name", NULL},
    {"{'a': 1}", "member name", NULL},
    {"{\"a\": tru}", "no JSON value", NULL},
    {"{\"a\": 1} x", "something follows", NULL},
    {"{\"a\": \"x\n\"}", "does not end", NULL},
    {"{ /* \"a\": 1 }", "comment does not end", NULL},
    {"// only a comment\n", "must hold", NULL},
    {"{\"a\": [1 2]}", "expected ','", NULL},
    {"{\"a\": [,]}", "JSON value", NULL},
};

static void check(size_t i)
{
    struct dt_err err;
    bool changed = false;
    const char *wanted = rows[i].result != NULL ? rows[i].wanted : "{\"z\":{\"y\":1}}";
    DT_AUTO_JSON json_t *entry = dt_json_parse(dt_str_z(wanted), 16, &err);
    DT_AUTO_BUF struct dt_buf out, again;
    dt_buf_init(&out, 10000);
    dt_buf_init(&again, 10000);
    assert_non_null(entry);
    int ret = dt_jsonc_merge(dt_str_z(rows[i].text), entry, &out, &changed, &err);
    if (rows[i].result == NULL) {
        assert_int_equal(ret, -1);
        assert_int_equal(err.code, DT_E_INVALID);
        assert_non_null(strstr(err.msg, rows[i].wanted));
        assert_int_equal(out.n, 0);
        return;
    }
    assert_int_equal(ret, 0);
    assert_string_equal(out.p, rows[i].result);
    assert_int_equal(changed, strcmp(rows[i].text, rows[i].result) != 0);
    /* A second time changes nothing. */
    assert_int_equal(dt_jsonc_merge(dt_buf_str(&out), entry, &again, &changed, &err), 0);
    assert_false(changed);
    assert_string_equal(again.p, out.p);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check(i);
}

static void test_wrong_type(void **state)
{
    (void)state;
    struct dt_err err;
    bool changed;
    DT_AUTO_JSON json_t *entry = dt_json_parse(DT_STR("{\"servers\":{\"x\":1}}"), 16, &err);
    static const char *const texts[] = {"{\"servers\": []}", "{\"servers\": \"no\"}",
                                        "{\"servers\": null}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        DT_AUTO_BUF struct dt_buf out;
        dt_buf_init(&out, 1000);
        assert_int_equal(dt_jsonc_merge(dt_str_z(texts[i]), entry, &out, &changed, &err), -1);
        assert_non_null(strstr(err.msg, "\"servers\" is not an object"));
    }
}

static void test_depth(void **state)
{
    (void)state;
    struct dt_err err;
    bool changed;
    char text[400];
    DT_AUTO_JSON json_t *entry = dt_json_parse(DT_STR("{\"x\":1}"), 16, &err);
    for (size_t depth = 10; depth < 100; depth += 80) {
        DT_AUTO_BUF struct dt_buf out;
        dt_buf_init(&out, 1000);
        memcpy(text, "{\"a\":", 5);
        memset(text + 5, '[', depth);
        memset(text + 5 + depth, ']', depth);
        text[5 + 2 * depth] = '}';
        int ret = dt_jsonc_merge(dt_str(text, 6 + 2 * depth), entry, &out, &changed, &err);
        assert_int_equal(ret, depth < 64 ? 0 : -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_wrong_type),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests_name("jsonc", tests, NULL, NULL);
}
