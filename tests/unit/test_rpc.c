#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mcp/rpc.h"

static const struct {
    const char *json;
    enum dt_rpc_kind kind;
    int code;       /* of a broken one */
    const char *id; /* as JSON; NULL: none usable */
} rows[] = {
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}", DT_RPC_REQUEST, 0, "1"},
    {"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"x\",\"params\":{}}", DT_RPC_REQUEST, 0,
     "\"a\""},
    {"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"x\",\"params\":null}", DT_RPC_REQUEST, 0, "0"},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"x\"}", DT_RPC_NOTIFICATION, 0, NULL},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":[1]}", DT_RPC_RESPONSE, 0, NULL},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", DT_RPC_RESPONSE, 0, "1"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}", DT_RPC_RESPONSE, 0, "1"},
    {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"x\"}", DT_RPC_BROKEN, -32600, "1"},
    {"{\"id\":1,\"method\":\"x\"}", DT_RPC_BROKEN, -32600, "1"},
    {"{\"jsonrpc\":2.0,\"id\":1,\"method\":\"x\"}", DT_RPC_BROKEN, -32600, "1"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1}", DT_RPC_BROKEN, -32600, "1"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", DT_RPC_BROKEN, -32600, "1"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\\u0000b\"}", DT_RPC_BROKEN, -32600, "1"},
    {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"x\"}", DT_RPC_BROKEN, -32600, NULL},
    {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"x\"}", DT_RPC_BROKEN, -32600, NULL},
    {"{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"x\"}", DT_RPC_BROKEN, -32600, NULL},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":[1]}", DT_RPC_BROKEN, -32602, "1"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":\"s\"}", DT_RPC_BROKEN, -32602,
     "1"},
    {"{}", DT_RPC_BROKEN, -32600, NULL},
    {"1", DT_RPC_BROKEN, -32600, NULL},
    {"\"text\"", DT_RPC_BROKEN, -32600, NULL},
    {"null", DT_RPC_BROKEN, -32600, NULL},
    {"[]", DT_RPC_BROKEN, -32600, NULL},
};

static void test_classify(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_err err;
        struct dt_rpc_msg m;
        DT_AUTO_JSON json_t *j = dt_json_parse(dt_str_z(rows[i].json), 8, &err);
        assert_non_null(j);
        dt_rpc_classify(j, &m);
        assert_int_equal(m.kind, rows[i].kind);
        if (m.kind == DT_RPC_BROKEN)
            assert_int_equal(m.code, rows[i].code);
        DT_AUTO_BUF struct dt_buf id;
        dt_buf_init(&id, 100);
        assert_int_equal(m.id != NULL, rows[i].id != NULL);
        if (m.id != NULL) {
            assert_int_equal(dt_json_write(m.id, &id, &err), 0);
            assert_string_equal(id.p, rows[i].id);
        }
    }
}

static const struct {
    struct dt_str in;
    const char *out;
} texts[] = {
    {{"", 0}, "\"\""},
    {{"plain", 5}, "\"plain\""},
    {{"a\"b\\c", 5}, "\"a\\\"b\\\\c\""},
    {{"\n\r\t\b\f", 5}, "\"\\n\\r\\t\\b\\f\""},
    {{"\0\x01\x1f\x7f", 4}, "\"\\u0000\\u0001\\u001f\\u007f\""},
    {{"\xc3\xa4", 2}, "\"\xc3\xa4\""},
    {{"a\xff"
      "b",
      3},
     "\"a\xef\xbf\xbd"
     "b\""},
    {{"\xed\xa0\x80", 3}, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* a surrogate */
    {{"\xf0\x9f\x98", 3}, "\"\xef\xbf\xbd\""},                         /* cut off */
};

/* Whatever bytes come, JSON with valid UTF-8 goes out. */
static void test_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct dt_err err;
        DT_AUTO_BUF struct dt_buf out;
        dt_buf_init(&out, 1000);
        assert_int_equal(dt_rpc_add_text(&out, texts[i].in, &err), 0);
        DT_AUTO_JSON json_t *j = dt_json_parse(dt_buf_str(&out), 2, &err);
        assert_true(json_is_string(j));
        if (texts[i].in.n != 3 || i < 7)
            assert_string_equal(out.p, texts[i].out);
    }
}

static void test_answers(void **state)
{
    (void)state;
    struct dt_err err;
    struct dt_rpc_err why = {.code = -32602, .msg = "bad \"x\"", .data = "{\"uri\":\"u\"}"};
    DT_AUTO_JSON json_t *id = json_string("a");
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, 1000);
    assert_int_equal(dt_rpc_add_error(&out, id, &why, &err), 0);
    assert_string_equal(out.p, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{\"code\":-32602,"
                               "\"message\":\"bad \\\"x\\\"\",\"data\":{\"uri\":\"u\"}}}");
    dt_buf_clear(&out);
    why.data[0] = '\0';
    assert_int_equal(dt_rpc_add_error(&out, NULL, &why, &err), 0);
    assert_string_equal(out.p, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32602,"
                               "\"message\":\"bad \\\"x\\\"\"}}");
    dt_buf_clear(&out);
    assert_int_equal(dt_rpc_add_result(&out, id, DT_STR("\"a\":1"), DT_STR("\"b\":2"), &err), 0);
    assert_string_equal(out.p, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"a\":1,\"b\":2}}");
    dt_buf_clear(&out);
    assert_int_equal(dt_rpc_add_result(&out, id, dt_str(NULL, 0), dt_str(NULL, 0), &err), 0);
    assert_string_equal(out.p, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}");
}

static void test_salvage(void **state)
{
    static const struct {
        const char *line, *id; /* as JSON; NULL: none */
    } lines[] = {
        {"{\"id\":7,\"a\":99999999999999999999}", "7"},
        {"{\"id\":\"x\",\"a\":1,\"a\":2}", "\"x\""},
        {"{\"id\":1.5,\"a\":1,\"a\":2}", "1.5"},
        {"{\"id\":null,\"a\":1,\"a\":2}", NULL},
        {"{\"id\":{},\"a\":1,\"a\":2}", NULL},
        {"{\"a\":1,\"a\":2}", NULL},
        {"[{\"id\":7,\"a\":99999999999999999999}]", NULL},
        {"{\"id\":7,", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct dt_err err;
        DT_AUTO_BUF struct dt_buf out;
        dt_buf_init(&out, 100);
        DT_AUTO_JSON json_t *id = dt_rpc_salvage_id(dt_str_z(lines[i].line));
        if (lines[i].id == NULL) {
            assert_null(id);
            continue;
        }
        assert_int_equal(dt_json_write(id, &out, &err), 0);
        assert_string_equal(out.p, lines[i].id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classify),
        cmocka_unit_test(test_salvage),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests_name("rpc", tests, NULL, NULL);
}
