#include "json/schema.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

enum { VIOLATIONS_MAX = 480, PATH_MAX_TEXT = 200 };

/* What was found wrong, all of it, as far as the text of an error reaches. */
struct report {
    char text[VIOLATIONS_MAX];
    size_t n;
};

static void complain(struct report *r, const char *fmt, ...) DT_PRINTF(2, 3);

static void complain(struct report *r, const char *fmt, ...)
{
    char line[PATH_MAX_TEXT + 160];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    int n = snprintf(r->text + r->n, sizeof(r->text) - r->n, "%s%s", r->n > 0 ? ", " : "", line);
    if (n > 0)
        r->n += (size_t)n < sizeof(r->text) - r->n ? (size_t)n : sizeof(r->text) - r->n - 1;
}

static void check(const struct dt_schema_node *node, const json_t *in, const char *path,
                  struct report *r);

static bool one_of(const char *const *enums, const char *value)
{
    for (; *enums != NULL; enums++) {
        if (strcmp(*enums, value) == 0)
            return true;
    }
    return false;
}

static void check_string(const struct dt_schema_node *node, const json_t *in, const char *path,
                         struct report *r)
{
    if (!json_is_string(in)) {
        complain(r, "%s must be a string", path);
        return;
    }
    size_t n = json_string_length(in);
    if (n < node->min_length)
        complain(r, node->min_length == 1 ? "%s should not be empty" : "%s is too short", path);
    if (node->max_length > 0 && n > node->max_length)
        complain(r, "%s must be at most %zu bytes", path, node->max_length);
    if (node->enums != NULL && !one_of(node->enums, json_string_value(in))) {
        char values[160] = "";
        size_t used = 0;
        for (const char *const *e = node->enums; *e != NULL && used < sizeof(values); e++)
            used += (size_t)snprintf(values + used, sizeof(values) - used, "%s%s",
                                     used > 0 ? ", " : "", *e);
        complain(r, "%s must be one of the following values: %s", path, values);
    }
}

static void check_number(const struct dt_schema_node *node, const json_t *in, const char *path,
                         struct report *r)
{
    bool whole = json_is_integer(in) ||
                 (json_is_real(in) && json_real_value(in) == floor(json_real_value(in)) &&
                  fabs(json_real_value(in)) <= 9007199254740992.0);
    if (!json_is_number(in) || (node->type == DT_SCHEMA_INTEGER && !whole)) {
        complain(r,
                 node->type == DT_SCHEMA_INTEGER ? "%s must be an integer number"
                                                 : "%s must be a number",
                 path);
        return;
    }
    double v = json_number_value(in);
    if (node->has_minimum && v < node->minimum)
        complain(r, "%s must not be less than %.15g", path, node->minimum);
    if (node->has_maximum && v > node->maximum)
        complain(r, "%s must not be greater than %.15g", path, node->maximum);
}

static const json_t *find(const struct dt_schema_field *f, const json_t *object)
{
    const json_t *j = json_object_get(object, f->name);
    for (const char *const *a = f->aliases; j == NULL && a != NULL && *a != NULL; a++)
        j = json_object_get(object, *a);
    return json_is_null(j) ? NULL : j;
}

static void check_field(const struct dt_schema_field *f, const json_t *value, const char *path,
                        struct report *r)
{
    if (value != NULL)
        check(f->node, value, path, r);
    else if (f->required)
        complain(r, "%s is required", path);
    if (value != NULL && json_is_string(value) && !f->bytes &&
        strlen(json_string_value(value)) != json_string_length(value))
        complain(r, "%s must not contain a NUL character", path);
}

static void check_fields(const struct dt_schema_field *fields, size_t n, const json_t *in,
                         const char *path, struct report *r)
{
    for (size_t i = 0; i < n; i++) {
        char sub[PATH_MAX_TEXT];
        const json_t *value = find(&fields[i], in);
        if (path[0] != '\0')
            (void)snprintf(sub, sizeof(sub), "%s.%s", path, fields[i].name);
        check_field(&fields[i], value, path[0] != '\0' ? sub : fields[i].name, r);
    }
}

static void check_object(const struct dt_schema_node *node, const json_t *in, const char *path,
                         struct report *r)
{
    if (!json_is_object(in)) {
        complain(r, "%s must be an object", path);
        return;
    }
    if (node->max_items > 0 && json_object_size(in) > node->max_items)
        complain(r, "%s must have at most %zu members", path, node->max_items);
    check_fields(node->fields, node->nfields, in, path, r);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)in, key, value)
    {
        char sub[PATH_MAX_TEXT];
        (void)snprintf(sub, sizeof(sub), "%s.%s", path, key);
        if (node->values != NULL)
            check(node->values, value, sub, r);
    }
}

static void check_array(const struct dt_schema_node *node, const json_t *in, const char *path,
                        struct report *r)
{
    if (!json_is_array(in)) {
        complain(r, "%s must be an array", path);
        return;
    }
    if (json_array_size(in) < node->min_items)
        complain(r, node->min_items == 1 ? "%s should not be empty" : "%s has too few items", path);
    if (node->max_items > 0 && json_array_size(in) > node->max_items)
        complain(r, "%s must have at most %zu items", path, node->max_items);
    for (size_t i = 0; node->values != NULL && i < json_array_size(in); i++) {
        char sub[PATH_MAX_TEXT];
        (void)snprintf(sub, sizeof(sub), "%s.%zu", path, i);
        check(node->values, json_array_get(in, i), sub, r);
    }
}

static void check(const struct dt_schema_node *node, const json_t *in, const char *path,
                  struct report *r)
{
    switch (node->type) {
    case DT_SCHEMA_STRING:
        check_string(node, in, path, r);
        break;
    case DT_SCHEMA_INTEGER:
    case DT_SCHEMA_NUMBER:
        check_number(node, in, path, r);
        break;
    case DT_SCHEMA_BOOLEAN:
        if (!json_is_boolean(in))
            complain(r, "%s must be a boolean value", path);
        break;
    case DT_SCHEMA_OBJECT:
        check_object(node, in, path, r);
        break;
    case DT_SCHEMA_ARRAY:
        check_array(node, in, path, r);
        break;
    }
}

static void store(const struct dt_schema_field *f, const json_t *value, char *out)
{
    bool there = value != NULL;
    void *at = out + f->offset;
    switch (f->node->type) {
    case DT_SCHEMA_STRING: {
        const char *z = there ? json_string_value(value) : f->default_text;
        if (f->bytes)
            *(struct dt_str *)at = there ? dt_str(z, json_string_length(value)) : dt_str_z(z);
        else
            *(const char **)at = z;
        return;
    }
    case DT_SCHEMA_INTEGER:
        *(int64_t *)at = !there                   ? (int64_t)f->default_number
                         : json_is_integer(value) ? json_integer_value(value)
                                                  : (int64_t)json_real_value(value);
        break;
    case DT_SCHEMA_NUMBER:
        *(double *)at = there ? json_number_value(value) : f->default_number;
        break;
    case DT_SCHEMA_BOOLEAN:
        *(bool *)at = there ? json_is_true(value) : f->default_number != 0;
        break;
    case DT_SCHEMA_OBJECT:
    case DT_SCHEMA_ARRAY:
        *(const json_t **)at = value;
        return;
    }
    *(bool *)(out + f->has_offset) = there;
}

int dt_schema_parse(const struct dt_schema_object *o, json_t *in, void *out, struct dt_err *err)
{
    if (in != NULL && !json_is_object(in) && !json_is_null(in))
        return dt_err_set(err, DT_E_INVALID, "expected a JSON object");
    struct report r = {.n = 0};
    check_fields(o->fields, o->nfields, in, "", &r);
    if (r.n > 0)
        return dt_err_set(err, DT_E_INVALID, "%s", r.text);
    memset(out, 0, o->size);
    *(json_t **)out = json_incref(in);
    for (size_t i = 0; i < o->nfields; i++)
        store(&o->fields[i], find(&o->fields[i], in), out);
    return 0;
}

void dt_schema_done(const struct dt_schema_object *o, void *x)
{
    json_decref(*(json_t **)x);
    memset(x, 0, o->size);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int decode(struct dt_str s, struct dt_buf *out, struct dt_err *err)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i] == '+' ? ' ' : s.p[i];
        if (c == '%') {
            int hi = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
            int lo = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return dt_err_set(err, DT_E_INVALID,
                                  "a '%%' in the query is not followed by two "
                                  "hexadecimal digits");
            c = (char)(hi << 4 | lo);
            i += 2;
        }
        if (dt_buf_add(out, &c, 1, err) < 0)
            return -1;
    }
    return 0;
}

/* A query value takes the type that the schema wants, so that the same checks apply to it. */
static json_t *typed(const struct dt_schema_node *node, const char *p, size_t n)
{
    struct dt_str s = dt_str(p, n);
    if (node->type == DT_SCHEMA_ARRAY && node->values != NULL) {
        json_t *list = json_array();
        (void)json_array_append_new(list, typed(node->values, p, n));
        return list;
    }
    if (node->type == DT_SCHEMA_BOOLEAN &&
        (dt_str_eq(s, DT_STR("true")) || dt_str_eq(s, DT_STR("1"))))
        return json_true();
    if (node->type == DT_SCHEMA_BOOLEAN &&
        (dt_str_eq(s, DT_STR("false")) || dt_str_eq(s, DT_STR("0"))))
        return json_false();
    if (node->type == DT_SCHEMA_INTEGER || node->type == DT_SCHEMA_NUMBER) {
        json_t *j = dt_json_parse(s, 1, NULL);
        if (json_is_number(j))
            return j;
        json_decref(j);
    }
    return json_stringn(p, n);
}

static int add_pair(const struct dt_schema_object *o, struct dt_str pair, json_t *all,
                    struct dt_err *err)
{
    const char *eq = pair.n > 0 ? memchr(pair.p, '=', pair.n) : NULL;
    size_t klen = eq != NULL ? (size_t)(eq - pair.p) : pair.n;
    DT_AUTO_BUF struct dt_buf key, value;
    dt_buf_init(&key, 256);
    dt_buf_init(&value, 65536);
    if (decode(dt_str(pair.p, klen), &key, err) < 0 ||
        decode(eq != NULL ? dt_str(eq + 1, pair.n - klen - 1) : dt_str(NULL, 0), &value, err) < 0)
        return -1;
    for (size_t i = 0; i < o->nfields; i++) {
        const struct dt_schema_field *f = &o->fields[i];
        if (key.n == 0 || strcmp(f->name, key.p) != 0)
            continue;
        const char *text = value.p != NULL ? value.p : "";
        json_t *j = f->bytes ? json_stringn_nocheck(text, value.n) : typed(f->node, text, value.n);
        json_t *old = json_object_get(all, f->name);
        if (j == NULL)
            return dt_err_set(err, DT_E_INVALID, "%s is not valid UTF-8", f->name);
        if (json_is_array(old) && json_is_array(j)) {
            (void)json_array_extend(old, j);
            json_decref(j);
        } else {
            (void)json_object_set_new(all, f->name, j);
        }
    }
    return 0;
}

static int add_pairs(const struct dt_schema_object *o, struct dt_str query, json_t *all,
                     struct dt_err *err)
{
    struct dt_str pair;
    while (dt_str_cut(&query, '&', &pair)) {
        if (pair.n > 0 && add_pair(o, pair, all, err) < 0)
            return -1;
    }
    return 0;
}

int dt_schema_parse_query(const struct dt_schema_object *o, struct dt_str query, void *out,
                          struct dt_err *err)
{
    DT_AUTO_JSON json_t *all = json_object();
    if (add_pairs(o, query, all, err) < 0)
        return -1;
    return dt_schema_parse(o, all, out, err);
}

/* --- what may be shown --- */

static json_t *shown(const struct dt_schema_field *fields, size_t n, const json_t *in);

static json_t *hidden(const json_t *value)
{
    static const char stars[] = "********";
    if (!json_is_object(value))
        return json_string(stars);
    json_t *all = json_object();
    const char *key;
    json_t *one;
    json_object_foreach((json_t *)(uintptr_t)value, key, one)
    {
        (void)json_object_set_new(all, key, json_string(stars));
    }
    return all;
}

/* Bytes need not be UTF-8, and what is shown must be. */
static json_t *readable(const json_t *value)
{
    DT_AUTO_BUF struct dt_buf clean;
    struct dt_str raw = dt_str(json_string_value(value), json_string_length(value));
    dt_buf_init(&clean, 3 * raw.n + 16);
    return dt_utf8_repair(&clean, raw, NULL) == 0
               ? json_stringn(clean.p != NULL ? clean.p : "", clean.n)
               : NULL;
}

static json_t *shown_value(const struct dt_schema_field *f, json_t *value)
{
    const struct dt_schema_node *node = f->node;
    if (f->secret)
        return hidden(value);
    if (f->bytes)
        return readable(value);
    if (node->type == DT_SCHEMA_OBJECT && node->nfields > 0)
        return shown(node->fields, node->nfields, value);
    return json_incref(value);
}

static json_t *shown(const struct dt_schema_field *fields, size_t n, const json_t *in)
{
    json_t *all = json_object();
    for (size_t i = 0; all != NULL && i < n; i++) {
        json_t *value = json_object_get(in, fields[i].name);
        if (value != NULL)
            (void)json_object_set_new(all, fields[i].name, shown_value(&fields[i], value));
    }
    return all;
}

json_t *dt_schema_shown(const struct dt_schema_object *o, const json_t *in)
{
    return shown(o->fields, o->nfields, in);
}

json_t *dt_schema_shown_query(const struct dt_schema_object *o, struct dt_str query)
{
    DT_AUTO_JSON json_t *all = json_object();
    struct dt_err ignored;
    (void)!add_pairs(o, query, all, &ignored);
    return all != NULL ? dt_schema_shown(o, all) : NULL;
}

/* --- printing --- */

static json_t *value_of(const struct dt_schema_field *f, const char *x)
{
    const void *at = x + f->offset;
    const struct dt_str *view = at;
    bool has = f->required;
    switch (f->node->type) {
    case DT_SCHEMA_STRING:
        if (f->bytes)
            return view->p == NULL && !has ? NULL
                                           : json_stringn(view->p != NULL ? view->p : "", view->n);
        if (*(const char *const *)at == NULL)
            return has && !f->nullable ? json_string("") : NULL;
        return json_string(*(const char *const *)at);
    case DT_SCHEMA_OBJECT:
    case DT_SCHEMA_ARRAY: {
        json_t *tree = *(json_t *const *)at;
        if (tree == NULL && has && !f->nullable)
            return f->node->type == DT_SCHEMA_ARRAY ? json_array() : json_object();
        return json_incref(tree);
    }
    case DT_SCHEMA_INTEGER:
    case DT_SCHEMA_NUMBER:
    case DT_SCHEMA_BOOLEAN:
        has = (has && !f->nullable) || *(const bool *)(x + f->has_offset);
        break;
    }
    if (!has)
        return NULL;
    if (f->node->type == DT_SCHEMA_BOOLEAN)
        return json_boolean(*(const bool *)at);
    if (f->node->type == DT_SCHEMA_INTEGER)
        return json_integer(*(const int64_t *)at);
    double v = *(const double *)at;
    return v == floor(v) && fabs(v) < 9007199254740992.0 ? json_integer((json_int_t)v)
                                                         : json_real(v);
}

json_t *dt_schema_print(const struct dt_schema_object *o, const void *x)
{
    json_t *all = json_object();
    for (size_t i = 0; all != NULL && i < o->nfields; i++) {
        json_t *j = value_of(&o->fields[i], x);
        if (j == NULL && o->fields[i].nullable)
            j = json_null();
        if (j != NULL)
            (void)json_object_set_new(all, o->fields[i].name, j);
    }
    return all;
}
