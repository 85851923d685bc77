#include "json/json.h"

static int check_depth(struct dt_str text, size_t max_depth, struct dt_err *err)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > max_depth)
                return dt_err_set(err, DT_E_INVALID, "JSON nested deeper than %zu", max_depth);
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return 0;
}

json_t *dt_json_parse(struct dt_str text, size_t max_depth, struct dt_err *err)
{
    if (check_depth(text, max_depth, err) < 0)
        return NULL;
    json_error_t why;
    json_t *j = json_loadb(text.p != NULL ? text.p : "", text.n,
                           JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (j == NULL)
        (void)dt_err_set(err, DT_E_INVALID, "invalid JSON at byte %d: %s", why.position, why.text);
    return j;
}

struct sink {
    struct dt_buf *out;
    struct dt_err *err;
};

static int add_chunk(const char *p, size_t n, void *ctx)
{
    struct sink *s = ctx;
    return dt_buf_add(s->out, p, n, s->err);
}

int dt_json_write(const json_t *j, struct dt_buf *out, struct dt_err *err)
{
    struct dt_err why = {0};
    struct sink s = {out, &why};
    if (json_dump_callback(j, add_chunk, &s, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
        return 0;
    if (why.code == DT_OK)
        return dt_err_set(err, DT_E_SYSTEM, "a value cannot be written as JSON");
    return dt_err_set(err, why.code, "%s", why.msg);
}

const char *dt_json_text(const json_t *object, const char *key, const char *fallback)
{
    const char *z = json_string_value(json_object_get(object, key));
    return z != NULL ? z : fallback;
}

int64_t dt_json_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *j = json_object_get(object, key);
    return json_is_integer(j) ? json_integer_value(j) : fallback;
}

bool dt_json_bool(const json_t *object, const char *key, bool fallback)
{
    const json_t *j = json_object_get(object, key);
    return json_is_boolean(j) ? json_is_true(j) : fallback;
}
