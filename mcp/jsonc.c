#include "mcp/jsonc.h"

#include <stdio.h>

enum { DEPTH_MAX = 64, TEXT_MAX = 64 * 1024 * 1024 };

/* Where reading stands. */
struct cursor {
    struct dt_str text;
    size_t at;
    unsigned depth;
    struct dt_err *err;
};

struct span {
    size_t from, to;
};

/* An object in the text, as far as an edit needs it. */
struct object {
    struct span braces;
    bool found;        /* the member that was looked for */
    struct span value; /* its value */
    size_t members;
    size_t first_key;    /* position of the first key */
    size_t last_value;   /* end of the last value */
    bool trailing_comma; /* behind it */
};

static int wrong(const struct cursor *c, const char *what)
{
    unsigned line = 1;
    for (size_t i = 0; i < c->at && i < c->text.n; i++)
        line += c->text.p[i] == '\n';
    return dt_err_set(c->err, DT_E_INVALID, "line %u: %s", line, what);
}

static int peek(const struct cursor *c)
{
    return c->at < c->text.n ? (unsigned char)c->text.p[c->at] : -1;
}

static bool at(const struct cursor *c, const char *word)
{
    return dt_str_starts(dt_str(c->text.p + c->at, c->text.n - c->at), dt_str_z(word));
}

/* White space, comments and the byte order mark. */
static int skip_blank(struct cursor *c)
{
    if (c->at == 0 && at(c, "\xEF\xBB\xBF"))
        c->at = 3;
    for (;;) {
        while (c->at < c->text.n && strchr(" \t\r\n", c->text.p[c->at]) != NULL && peek(c) != 0)
            c->at++;
        if (at(c, "//")) {
            while (c->at < c->text.n && c->text.p[c->at] != '\n')
                c->at++;
        } else if (at(c, "/*")) {
            const char *end = memmem(c->text.p + c->at + 2, c->text.n - c->at - 2, "*/", 2);
            if (end == NULL)
                return wrong(c, "a comment does not end");
            c->at = (size_t)(end - c->text.p) + 2;
        } else {
            return 0;
        }
    }
}

static int skip_string(struct cursor *c)
{
    for (c->at++; c->at < c->text.n; c->at++) {
        char ch = c->text.p[c->at];
        if (ch == '"') {
            c->at++;
            return 0;
        }
        if (ch == '\n')
            break;
        c->at += ch == '\\';
    }
    c->at = c->at < c->text.n ? c->at : c->text.n;
    return wrong(c, "a string does not end");
}

static json_t *parse(struct dt_str text)
{
    struct dt_err ignored;
    return dt_json_parse(text, DEPTH_MAX + 2, &ignored);
}

static int skip_value(struct cursor *c);
static int walk_object(struct cursor *c, const char *key, struct object *ret);

static int skip_array(struct cursor *c)
{
    c->at++;
    for (bool comma = true;; comma = false) {
        if (skip_blank(c) < 0)
            return -1;
        if (peek(c) == ']') {
            c->at++;
            return 0;
        }
        if (!comma && peek(c) != ',')
            return wrong(c, "expected ',' or ']'");
        if (!comma) {
            c->at++;
            if (skip_blank(c) < 0)
                return -1;
            if (peek(c) == ']')
                continue;
        }
        if (skip_value(c) < 0)
            return -1;
    }
}

static int skip_word(struct cursor *c)
{
    size_t from = c->at;
    while (c->at < c->text.n &&
           strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", peek(c)) != NULL && peek(c) != 0)
        c->at++;
    struct dt_str word = dt_str(c->text.p + from, c->at - from);
    json_t *j = word.n > 0 ? parse(word) : NULL;
    json_decref(j);
    if (j != NULL)
        return 0;
    c->at = from;
    return wrong(c, word.n > 0 ? "this is no JSON value" : "expected a JSON value");
}

static int skip_value(struct cursor *c)
{
    struct object ignored;
    int ret;
    if (++c->depth > DEPTH_MAX)
        return wrong(c, "nested too deeply");
    switch (peek(c)) {
    case '{':
        ret = walk_object(c, NULL, &ignored);
        break;
    case '[':
        ret = skip_array(c);
        break;
    case '"':
        ret = skip_string(c);
        break;
    default:
        ret = skip_word(c);
        break;
    }
    c->depth--;
    return ret;
}

/* Whether the string literal at `s` stands for `key`. */
static bool is_key(const struct cursor *c, struct span s, const char *key)
{
    json_t *j = parse(dt_str(c->text.p + s.from, s.to - s.from));
    bool same = key != NULL && json_is_string(j) && strcmp(json_string_value(j), key) == 0;
    json_decref(j);
    return same;
}

static int walk_member(struct cursor *c, const char *key, struct object *o)
{
    struct span name = {c->at, 0};
    if (peek(c) != '"')
        return wrong(c, "expected a member name in double quotes");
    if (skip_string(c) < 0)
        return -1;
    name.to = c->at;
    if (skip_blank(c) < 0)
        return -1;
    if (peek(c) != ':')
        return wrong(c, "expected ':'");
    c->at++;
    if (skip_blank(c) < 0)
        return -1;
    struct span value = {c->at, 0};
    if (skip_value(c) < 0)
        return -1;
    value.to = c->at;
    if (o->members++ == 0)
        o->first_key = name.from;
    o->last_value = value.to;
    o->trailing_comma = false;
    if (is_key(c, name, key)) { /* the last one of a name counts, as it does for parsers */
        o->found = true;
        o->value = value;
    }
    return 0;
}

/* Reads an object and finds the member `key` in it. */
static int walk_object(struct cursor *c, const char *key, struct object *ret)
{
    *ret = (struct object){.braces.from = c->at};
    c->at++;
    for (;;) {
        if (skip_blank(c) < 0)
            return -1;
        if (peek(c) == '}') {
            c->at++;
            ret->braces.to = c->at;
            return 0;
        }
        if (ret->members > 0 && !ret->trailing_comma && peek(c) != ',')
            return wrong(c, "expected ',' or '}'");
        if (ret->members > 0 && !ret->trailing_comma) {
            c->at++;
            ret->trailing_comma = true;
            continue;
        }
        if (walk_member(c, key, ret) < 0)
            return -1;
    }
}

/* How the text is laid out where a member goes. */
struct layout {
    const char *newline;
    char indent[64]; /* of the members */
    char unit[16];   /* one level */
    bool one_line;
};

static struct dt_str indent_of(struct dt_str text, size_t pos)
{
    size_t line = pos;
    while (line > 0 && text.p[line - 1] != '\n')
        line--;
    size_t n = 0;
    while (line + n < pos && (text.p[line + n] == ' ' || text.p[line + n] == '\t'))
        n++;
    return dt_str(text.p + line, n);
}

static bool begins_line(struct dt_str text, size_t pos)
{
    struct dt_str indent = indent_of(text, pos);
    return indent.p + indent.n == text.p + pos && pos > 0 &&
           (indent.p == text.p || indent.p[-1] == '\n');
}

static void copy_indent(char *out, size_t size, struct dt_str s)
{
    (void)snprintf(out, size, "%.*s", (int)s.n, s.n > 0 ? s.p : "");
}

/* The unit of indentation: how much deeper the first indented line of the file is than nothing. */
static void find_unit(struct dt_str text, char *out, size_t size)
{
    (void)snprintf(out, size, "  ");
    for (size_t i = 0; i + 1 < text.n; i++) {
        if (text.p[i] != '\n' || (text.p[i + 1] != ' ' && text.p[i + 1] != '\t'))
            continue;
        size_t n = 0;
        while (i + 1 + n < text.n && text.p[i + 1 + n] == text.p[i + 1])
            n++;
        if (text.p[i + 1] == '\t')
            (void)snprintf(out, size, "\t");
        else if (n <= 8)
            (void)snprintf(out, size, "%.*s", (int)n, text.p + i + 1);
        return;
    }
}

static void find_layout(struct dt_str text, const struct object *o, struct layout *l)
{
    char base[48];
    *l = (struct layout){.newline = memmem(text.p, text.n, "\r\n", 2) != NULL ? "\r\n" : "\n"};
    find_unit(text, l->unit, sizeof(l->unit));
    copy_indent(base, sizeof(base), indent_of(text, o->braces.from));
    if (o->members > 0 && begins_line(text, o->first_key))
        copy_indent(l->indent, sizeof(l->indent), indent_of(text, o->first_key));
    else
        (void)snprintf(l->indent, sizeof(l->indent), "%s%s", base, l->unit);
    l->one_line = o->members > 0 && !begins_line(text, o->first_key);
}

static int print(struct dt_buf *out, const json_t *value, const struct layout *l, unsigned level,
                 struct dt_err *err);

static int print_break(struct dt_buf *out, const struct layout *l, unsigned level,
                       struct dt_err *err)
{
    if (dt_buf_addz(out, l->newline, err) < 0 || dt_buf_addz(out, l->indent, err) < 0)
        return -1;
    for (unsigned i = 0; i < level; i++) {
        if (dt_buf_addz(out, l->unit, err) < 0)
            return -1;
    }
    return 0;
}

static int print_text(struct dt_buf *out, const char *key, struct dt_err *err)
{
    DT_AUTO_JSON json_t *j = json_string(key);
    return dt_json_write(j, out, err);
}

static int print_object(struct dt_buf *out, const json_t *value, const struct layout *l,
                        unsigned level, struct dt_err *err)
{
    const char *key;
    json_t *sub;
    size_t n = 0;
    if (dt_buf_addz(out, "{", err) < 0)
        return -1;
    json_object_foreach((json_t *)value, key, sub)
    {
        if ((n++ > 0 && dt_buf_addz(out, ",", err) < 0) ||
            print_break(out, l, level + 1, err) < 0 || print_text(out, key, err) < 0 ||
            dt_buf_addz(out, ": ", err) < 0 || print(out, sub, l, level + 1, err) < 0)
            return -1;
    }
    if (n > 0 && print_break(out, l, level, err) < 0)
        return -1;
    return dt_buf_addz(out, "}", err);
}

static int print_array(struct dt_buf *out, const json_t *value, const struct layout *l,
                       unsigned level, struct dt_err *err)
{
    size_t i;
    const json_t *item;
    if (dt_buf_addz(out, "[", err) < 0)
        return -1;
    json_array_foreach(value, i, item)
    {
        if ((i > 0 && dt_buf_addz(out, ", ", err) < 0) || print(out, item, l, level, err) < 0)
            return -1;
    }
    return dt_buf_addz(out, "]", err);
}

static int print(struct dt_buf *out, const json_t *value, const struct layout *l, unsigned level,
                 struct dt_err *err)
{
    if (json_is_object(value) && !l->one_line)
        return print_object(out, value, l, level, err);
    if (json_is_array(value))
        return print_array(out, value, l, level, err);
    return dt_json_write(value, out, err);
}

/* Replaces a part of `doc`. */
static int splice(struct dt_buf *doc, struct span where, struct dt_str with, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf next;
    dt_buf_init(&next, TEXT_MAX);
    if (dt_buf_add(&next, doc->p, where.from, err) < 0 || dt_buf_adds(&next, with, err) < 0 ||
        dt_buf_add(&next, doc->p + where.to, doc->n - where.to, err) < 0)
        return -1;
    struct dt_buf old = *doc;
    *doc = next;
    next = old;
    return 0;
}

static int insert(struct dt_buf *doc, const struct object *o, const char *key, const json_t *value,
                  struct dt_err *err)
{
    struct layout l;
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, TEXT_MAX);
    find_layout(dt_buf_str(doc), o, &l);
    bool empty = o->members == 0;
    size_t pos = empty ? o->braces.from + 1 : o->last_value;
    int ret = empty ? 0 : dt_buf_addz(&text, ",", err);
    if (ret == 0)
        ret = l.one_line ? dt_buf_addz(&text, " ", err) : print_break(&text, &l, 0, err);
    if (ret == 0)
        ret = print_text(&text, key, err);
    if (ret == 0)
        ret = dt_buf_addz(&text, ": ", err);
    if (ret == 0)
        ret = print(&text, value, &l, 0, err);
    if (ret == 0 && empty && memchr(doc->p + pos, '\n', o->braces.to - pos) == NULL) {
        struct dt_str base = indent_of(dt_buf_str(doc), o->braces.from);
        ret = dt_buf_addz(&text, l.newline, err);
        if (ret == 0)
            ret = dt_buf_adds(&text, base, err);
    }
    return ret < 0 ? -1 : splice(doc, (struct span){pos, pos}, dt_buf_str(&text), err);
}

/* The value as a parser sees it: comments and trailing commas taken out. */
static json_t *value_at(struct dt_str text, struct span s)
{
    struct cursor c = {.text = dt_str(text.p, s.to), .at = s.from, .err = NULL};
    DT_AUTO_BUF struct dt_buf plain;
    dt_buf_init(&plain, TEXT_MAX);
    while (c.at < s.to) {
        size_t from = c.at;
        if (skip_blank(&c) < 0)
            return NULL;
        if (c.at > from || c.at >= s.to)
            continue;
        if (peek(&c) == '"' && skip_string(&c) < 0)
            return NULL;
        if (c.at == from)
            c.at++;
        bool closes = text.p[from] == ']' || text.p[from] == '}';
        if (closes && plain.n > 0 && plain.p[plain.n - 1] == ',')
            plain.n--;
        if (dt_buf_add(&plain, text.p + from, c.at - from, NULL) < 0)
            return NULL;
    }
    return parse(dt_buf_str(&plain));
}

static int replace(struct dt_buf *doc, const struct object *o, const json_t *value,
                   struct dt_err *err)
{
    struct layout l;
    DT_AUTO_JSON json_t *old = value_at(dt_buf_str(doc), o->value);
    if (old != NULL && json_equal(old, (json_t *)value))
        return 0;
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, TEXT_MAX);
    find_layout(dt_buf_str(doc), o, &l);
    if (print(&text, value, &l, 0, err) < 0)
        return -1;
    return splice(doc, o->value, dt_buf_str(&text), err);
}

/* The path from the root to where an edit goes. */
struct place {
    const struct place *outer;
    const char *key;
};

/* Finds the object named by `place` in the text as it is now, and the member `key` in it. */
static int find(struct dt_str text, const struct place *place, const char *key, struct object *ret,
                struct dt_err *err)
{
    struct cursor c = {.text = text, .err = err};
    if (place == NULL) {
        if (skip_blank(&c) < 0)
            return -1;
        if (peek(&c) != '{')
            return wrong(&c, "the file must hold a JSON object");
    } else {
        if (find(text, place->outer, place->key, ret, err) < 0)
            return -1;
        c.at = ret->value.from;
    }
    return walk_object(&c, key, ret);
}

static int merge(struct dt_buf *doc, const struct place *place, const json_t *wanted,
                 unsigned depth, struct dt_err *err)
{
    const char *key;
    json_t *value;
    if (depth > DEPTH_MAX)
        return dt_err_set(err, DT_E_INVALID, "nested too deeply");
    json_object_foreach((json_t *)wanted, key, value)
    {
        struct object o = {.found = false};
        int ret;
        if (find(dt_buf_str(doc), place, key, &o, err) < 0)
            return -1;
        if (!o.found) {
            ret = insert(doc, &o, key, value, err);
        } else if (!json_is_object(value)) {
            ret = replace(doc, &o, value, err);
        } else if (doc->p[o.value.from] != '{') {
            struct cursor c = {.text = dt_buf_str(doc), .at = o.value.from, .err = err};
            char what[128];
            (void)snprintf(what, sizeof(what), "the value of \"%.60s\" is not an object", key);
            ret = wrong(&c, what);
        } else {
            struct place inner = {place, key};
            ret = merge(doc, &inner, value, depth + 1, err);
        }
        if (ret < 0)
            return -1;
    }
    return 0;
}

/* Everything must parse, also behind the root object. */
static int check(struct dt_str text, struct dt_err *err)
{
    struct cursor c = {.text = text, .err = err};
    struct object o = {.found = false};
    if (find(text, NULL, NULL, &o, err) < 0)
        return -1;
    c.at = o.braces.to;
    if (skip_blank(&c) < 0)
        return -1;
    return c.at == text.n ? 0 : wrong(&c, "something follows the object");
}

static bool is_blank(struct dt_str text)
{
    struct cursor c = {.text = text};
    return skip_blank(&c) == 0 && c.at == text.n &&
           memchr(text.n > 0 ? text.p : "", '/', text.n) == NULL;
}

int dt_jsonc_merge(struct dt_str text, const json_t *wanted, struct dt_buf *out, bool *changed,
                   struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf doc;
    dt_buf_init(&doc, TEXT_MAX);
    bool empty = is_blank(text);
    if (dt_buf_adds(&doc, empty ? DT_STR("{}\n") : text, err) < 0 ||
        check(dt_buf_str(&doc), err) < 0 || merge(&doc, NULL, wanted, 0, err) < 0 ||
        check(dt_buf_str(&doc), err) < 0)
        return -1;
    *changed = !dt_str_eq(dt_buf_str(&doc), text);
    return dt_buf_adds(out, dt_buf_str(&doc), err);
}
