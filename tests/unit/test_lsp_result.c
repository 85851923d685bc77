#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/lsp_result.h"

/* With ' for ". */
static json_t *parse(const char *text)
{
    DT_AUTO_FREE char *quoted = strdup(text);
    for (char *q = quoted; (q = strchr(q, '\'')) != NULL;)
        *q = '"';
    json_t *j = dt_json_parse(dt_str_z(quoted), 128, NULL);
    assert_non_null(j);
    return j;
}

/* Each as "kind name uri line;". */
static void symbols(const char *result, const char *query, const char *want)
{
    DT_AUTO_JSON json_t *list = json_array(), *in = parse(result);
    DT_AUTO_BUF struct dt_buf text;
    size_t i;
    const json_t *s;
    assert_true(dt_lsp_symbols_add(list, in, "file:///a.py", query));
    dt_buf_init(&text, 65536);
    json_array_foreach(list, i, s)
    {
        const json_t *there = json_object_get(s, "location"), *range;
        range = json_object_get(json_object_get(there, "range"), "start");
        assert_int_equal(json_object_size(s), 3);
        assert_int_equal(json_object_size(json_object_get(there, "range")), 2);
        assert_int_equal(dt_buf_addf(&text, NULL, "%d %s %s %d;", (int)dt_json_int(s, "kind", -1),
                                     dt_json_text(s, "name", "-"), dt_json_text(there, "uri", "-"),
                                     (int)dt_json_int(range, "line", -1)),
                         0);
    }
    assert_string_equal(text.n > 0 ? text.p : "", want);
}

static const char tree[] =
    "[{'kind':5,'name':'Outer','range':{'start':{'line':1}},'selectionRange':{},'children':["
    "{'kind':6,'name':'inGreet','range':{'start':{'line':3}},'children':["
    "{'kind':13,'name':'v','range':{'start':{'line':4}}}]},"
    "{'kind':6,'name':'n','range':{'start':{'line':5}}}]}]";

static void test_symbols(void **state)
{
    (void)state;
    symbols("null", NULL, "");
    symbols("[]", NULL, "");
    symbols("{}", NULL, "");
    symbols("[1,null,'x',[],{},{'name':7}]", NULL, "");
    symbols("[{'kind':5,'name':'A','containerName':'m','location':{'uri':'file:///b.py','range':{"
            "'start':{'line':2,'character':1},'end':{'line':3,'character':0}}}}]",
            NULL, "5 A file:///b.py 2;");
    /* Hierarchical ones come flat, in the document that was asked about. */
    symbols(tree, NULL,
            "5 Outer file:///a.py 1;6 inGreet file:///a.py 3;13 v file:///a.py 4;"
            "6 n file:///a.py 5;");
    /* A location may lack its range, and anything may have the wrong type. */
    symbols("[{'kind':'x','name':'A','location':{'uri':7}}]", NULL, "0 A file:///a.py 0;");
}

static void test_query(void **state)
{
    (void)state;
    symbols(tree, "gREET", "6 inGreet file:///a.py 3;");
    symbols(tree, "nothing", "");
}

static void test_many(void **state)
{
    (void)state;
    DT_AUTO_JSON json_t *list = json_array(), *in = json_array();
    for (int i = 0; i < DT_LSP_SYMBOLS_MAX + 1; i++)
        assert_int_equal(json_array_append_new(in, json_pack("{s:i, s:s}", "kind", 5, "name", "A")),
                         0);
    assert_false(dt_lsp_symbols_add(list, in, "file:///a.py", NULL));
    assert_int_equal(json_array_size(list), DT_LSP_SYMBOLS_MAX);
}

static void completions(const char *result, const char *want)
{
    DT_AUTO_JSON json_t *in = parse(result), *expected = parse(want);
    DT_AUTO_JSON json_t *got = dt_lsp_completions(in);
    assert_true(json_equal(got, expected));
}

static void test_completions(void **state)
{
    (void)state;
    static const char none[] = "{'isIncomplete':false,'items':[]}";
    completions("null", none);
    completions("[]", none);
    completions("{'items':null}", none);
    completions("{'items':[1,{},{'label':7}],'isIncomplete':'x'}", none);
    completions("[{'label':'a'}]", "{'isIncomplete':false,'items':[{'label':'a'}]}");
    completions("{'isIncomplete':true,'items':[{'label':'a','kind':3,'detail':'d',"
                "'documentation':'doc','sortText':'s','filterText':'f','insertText':'i',"
                "'data':{'x':1},'textEdit':{'newText':'n'}}]}",
                "{'isIncomplete':true,'items':[{'label':'a','kind':3,'detail':'d',"
                "'documentation':{'kind':'plaintext','value':'doc'},'sortText':'s',"
                "'filterText':'f','insertText':'i'}]}");
    completions("[{'label':'a','kind':'x','detail':null,'documentation':{'kind':'markdown',"
                "'value':'*d*'}}]",
                "{'isIncomplete':false,'items':[{'label':'a','documentation':{'kind':'markdown',"
                "'value':'*d*'}}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symbols),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_completions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
