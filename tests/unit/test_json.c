#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "json/json.h"

static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",         "{",   "{\"a\":1,\"a\":2}",    "[1,]",
                                        "\"\xff\"", "nul", "99999999999999999999", "[[[[[1]]]]]",
                                        "{} x"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct dt_err err = {0};
        assert_null(dt_json_parse(dt_str_z(texts[i]), 4, &err));
        assert_int_equal(err.code, DT_E_INVALID);
    }
}

static const char *const samples[] = {
    "null",
    "true",
    "false",
    "0",
    "-0",
    "17",
    "-9223372036854775808",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "1.5",
    "-1e3",
    "1E+2",
    "2e-400",
    "1e400",
    "01",
    "1.",
    ".5",
    "-",
    "+1",
    "1e",
    "0x10",
    "NaN",
    "tru",
    "truex",
    "\"\"",
    "\"a\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\u0041\\u00e4\\u20ac\\ud83d\\ude00\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800\\u0041\"",
    "\"\\u12\"",
    "\"\\x\"",
    "\"\n\"",
    "\"\x7f\"",
    "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xc0\x80\"",
    "[]",
    "[ ]",
    "[1,2 , 3]",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[",
    "]",
    "{}",
    "{ }",
    "{\"a\":1,\"b\":[{}]}",
    "{\"a\":1,\"a\":2}",
    "{\"\\u0061\":1,\"a\":2}",
    "{\"a\\u0000b\":1}",
    "{a:1}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{\"\":\"\"}",
    " \t\r\n1 \n",
    "1 2",
    "\xef\xbb\xbf"
    "1",
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/"
    "call\",\"params\":{\"name\":\"x\",\"arguments\":{\"a\":[1.5,null]}}}",
    "{\"a-name-that-is-longer-than-what-is-kept-on-the-stack-for-a-usual-one-of-them\":{\"b\":true}"
    "}"};

/* What jansson's own parser makes of the same bytes; but it overlooks a NUL behind a number. */
static void expect_same(struct dt_str text)
{
    struct dt_err err = {0};
    DT_AUTO_JSON json_t *ours = dt_json_parse(text, 64, &err);
    DT_AUTO_JSON json_t *theirs =
        json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool overlooked = ours == NULL && text.n > 0 && memchr(text.p, '\0', text.n) != NULL;
    if (!overlooked &&
        ((ours == NULL) != (theirs == NULL) || (ours != NULL && !json_equal(ours, theirs))))
        fail_msg("different: %.*s (%s)", (int)text.n, text.p, err.msg);
    assert_int_equal(err.code, ours == NULL ? DT_E_INVALID : DT_OK);
}

static void test_agrees_with_jansson(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
        expect_same(dt_str_z(samples[i]));
}

/* Bytes of the samples changed, doubled and cut by a generator that always runs the same. */
static void test_agrees_with_jansson_on_broken_text(void **state)
{
    (void)state;
    static const char swaps[] = "\"\\{}[]:,0-.eEu\n\t \0\x7f\x80\xc3\xff"
                                "at";
    uint32_t random = 1;
    for (size_t round = 0; round < 100000; round++) {
        char text[256];
        const char *from = samples[round % (sizeof(samples) / sizeof(samples[0]))];
        size_t n = strlen(from);
        memcpy(text, from, n);
        for (unsigned k = 0; k < 1 + round % 3 && n > 0; k++) {
            random = random * 1664525 + 1013904223;
            size_t at = (random >> 8) % n;
            if (random >> 30 == 0)
                n = at;
            else
                text[at] = swaps[(random >> 20) % (sizeof(swaps) - 1)];
        }
        expect_same(dt_str(text, n));
    }
}

static void test_says_where(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } rows[] = {{"{\"a\":1,\"a\":2}", "byte 12: a name is given twice"},
                {"[1, x]", "byte 4: unexpected character"},
                {"\"abc", "byte 4: a string without an end"},
                {"", "byte 0: the end came too early"},
                {"[[[[[1]]]]]", "nested deeper than 4"},
                {"99999999999999999999", "too big integer"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_err err = {0};
        assert_null(dt_json_parse(dt_str_z(rows[i].text), 4, &err));
        if (strstr(err.msg, rows[i].said) == NULL)
            fail_msg("%s: %s", rows[i].text, err.msg);
    }
    struct dt_err err = {0};
    assert_null(dt_json_parse(dt_str(NULL, 0), 4, &err));
}

static void test_depth_ignores_strings(void **state)
{
    (void)state;
    DT_AUTO_JSON json_t *j = dt_json_parse(DT_STR("[\"[[[[[\\\"[[[\",[1]]"), 2, NULL);
    assert_non_null(j);
}

static void test_write_respects_the_limit(void **state)
{
    (void)state;
    DT_AUTO_JSON json_t *j = dt_json_parse(DT_STR("{\"a\":\"b\\u0000c\"}"), 4, NULL);
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 64);
    assert_int_equal(dt_json_write(j, &b, NULL), 0);
    assert_string_equal(b.p, "{\"a\":\"b\\u0000c\"}");
    DT_AUTO_BUF struct dt_buf small;
    dt_buf_init(&small, 5);
    struct dt_err err;
    assert_int_equal(dt_json_write(j, &small, &err), -1);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_agrees_with_jansson),
        cmocka_unit_test(test_agrees_with_jansson_on_broken_text),
        cmocka_unit_test(test_says_where),
        cmocka_unit_test(test_depth_ignores_strings),
        cmocka_unit_test(test_write_respects_the_limit),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
