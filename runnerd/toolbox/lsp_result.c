#include "toolbox/lsp_result.h"

#include <strings.h>

static json_t *position(const json_t *p)
{
    return json_pack("{s:I, s:I}", "line", (json_int_t)dt_json_int(p, "line", 0), "character",
                     (json_int_t)dt_json_int(p, "character", 0));
}

static json_t *location(const json_t *symbol, const char *uri)
{
    const json_t *there = json_object_get(symbol, "location");
    if (there != NULL)
        uri = dt_json_text(there, "uri", uri);
    const json_t *range = json_object_get(there != NULL ? there : symbol, "range");
    return json_pack("{s:s, s:{s:o, s:o}}", "uri", uri, "range", "start",
                     position(json_object_get(range, "start")), "end",
                     position(json_object_get(range, "end")));
}

static bool contains(const char *name, const char *query)
{
    return query == NULL || strcasestr(name, query) != NULL;
}

static bool add_symbol(json_t *list, const json_t *symbol, const char *uri, const char *query)
{
    const char *name = dt_json_text(symbol, "name", NULL);
    if (name == NULL || !contains(name, query))
        return true;
    if (json_array_size(list) >= DT_LSP_SYMBOLS_MAX)
        return false;
    json_t *s = json_pack("{s:I, s:s, s:o}", "kind", (json_int_t)dt_json_int(symbol, "kind", 0),
                          "name", name, "location", location(symbol, uri));
    return json_array_append_new(list, s) == 0;
}

/* As deep as the parser lets JSON be. */
bool dt_lsp_symbols_add(json_t *list, const json_t *result, // NOLINT(misc-no-recursion)
                        const char *uri, const char *query)
{
    size_t i;
    json_t *symbol;
    json_array_foreach(result, i, symbol)
    {
        if (!add_symbol(list, symbol, uri, query) ||
            !dt_lsp_symbols_add(list, json_object_get(symbol, "children"), uri, query))
            return false;
    }
    return true;
}

static json_t *documentation(const json_t *item)
{
    json_t *d = json_object_get(item, "documentation");
    if (json_is_object(d))
        return json_incref(d);
    if (json_is_string(d))
        return json_pack("{s:s, s:O}", "kind", "plaintext", "value", d);
    return NULL;
}

static int add_item(json_t *items, const json_t *item)
{
    static const char *const texts[] = {"detail", "sortText", "filterText", "insertText"};
    json_t *label = json_object_get(item, "label");
    if (!json_is_string(label))
        return 0;
    json_t *out = json_object();
    (void)json_object_set(out, "label", label);
    json_t *kind = json_object_get(item, "kind");
    if (json_is_integer(kind))
        (void)json_object_set(out, "kind", kind);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *text = json_object_get(item, texts[i]);
        if (json_is_string(text))
            (void)json_object_set(out, texts[i], text);
    }
    json_t *d = documentation(item);
    if (d != NULL)
        (void)json_object_set_new(out, "documentation", d);
    return json_array_append_new(items, out);
}

json_t *dt_lsp_completions(const json_t *result)
{
    const json_t *from = json_is_object(result) ? json_object_get(result, "items") : result;
    DT_AUTO_JSON json_t *items = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(from, i, item)
    {
        if (add_item(items, item) < 0)
            return NULL;
    }
    return json_pack("{s:b, s:O}", "isIncomplete", dt_json_bool(result, "isIncomplete", false),
                     "items", items);
}
