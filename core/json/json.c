#include "json/json.h"

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
