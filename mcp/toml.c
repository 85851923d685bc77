#include "mcp/toml.h"

#include <stdio.h>

#include "base/utf8.h"

enum { NAME_MAX_TEXT = 512, TEXT_MAX = 16 * 1024 * 1024, DEPTH_MAX = 64 };

/* One header or one key with its value. Names are normalized: parts joined by U+001F. */
struct item {
    bool header;
    bool array_header;         /* [[name]] */
    char table[NAME_MAX_TEXT]; /* the header's name, or the table the key stands in */
    char key[NAME_MAX_TEXT];
    size_t value, value_end; /* of a key: its value's text */
    size_t end;              /* behind the line */
};

struct cursor {
    struct dt_str text;
    size_t at;
    char table[NAME_MAX_TEXT];
    struct dt_err *err;
};

static int wrong(const struct cursor *c, const char *what)
{
    unsigned line = 1;
    for (size_t i = 0; i < c->at && i < c->text.n; i++)
        line += c->text.p[i] == '\n';
    return dt_err_set(c->err, DT_E_INVALID, "line %u: %s", line, what);
}

static char peek(const struct cursor *c)
{
    return c->at < c->text.n ? c->text.p[c->at] : '\0';
}

static bool at_word(const struct cursor *c, const char *word)
{
    return dt_str_starts(dt_str(c->text.p + c->at, c->text.n - c->at), dt_str_z(word));
}

static void skip_spaces(struct cursor *c)
{
    while (peek(c) == ' ' || peek(c) == '\t')
        c->at++;
}

static void skip_line(struct cursor *c)
{
    while (c->at < c->text.n && c->text.p[c->at] != '\n')
        c->at++;
}

/* Spaces, line ends and comments. */
static void skip_blank(struct cursor *c)
{
    if (c->at == 0 && at_word(c, "\xEF\xBB\xBF"))
        c->at = 3;
    for (;;) {
        skip_spaces(c);
        if (peek(c) == '#')
            skip_line(c);
        else if (peek(c) == '\n' || peek(c) == '\r')
            c->at++;
        else
            return;
    }
}

static int skip_string(struct cursor *c)
{
    char quote = peek(c);
    const char triple[4] = {quote, quote, quote, '\0'};
    bool many = at_word(c, triple);
    c->at += many ? 3 : 1;
    while (c->at < c->text.n) {
        if (many && at_word(c, triple)) {
            c->at += 3;
            while (peek(c) == quote) /* up to two quotes may stand before the end */
                c->at++;
            return 0;
        }
        if (!many && peek(c) == quote) {
            c->at++;
            return 0;
        }
        if (!many && peek(c) == '\n')
            break;
        c->at += quote == '"' && peek(c) == '\\' ? 2 : 1;
    }
    c->at = c->at < c->text.n ? c->at : c->text.n;
    return wrong(c, "a string does not end");
}

/* Arrays and inline tables, which may nest and hold strings and comments. */
static int skip_brackets(struct cursor *c)
{
    char open[DEPTH_MAX] = {0};
    size_t depth = 0;
    do {
        skip_blank(c);
        char ch = peek(c);
        if (ch == '"' || ch == '\'') {
            if (skip_string(c) < 0)
                return -1;
            continue;
        }
        if (c->at >= c->text.n)
            return wrong(c, "a bracket is not closed");
        if ((ch == '[' || ch == '{') && depth == DEPTH_MAX)
            return wrong(c, "nested too deeply");
        if (ch == '[' || ch == '{')
            open[depth++] = ch;
        else if ((ch == ']' || ch == '}') && open[--depth] != (ch == ']' ? '[' : '{'))
            return wrong(c, "brackets do not match");
        c->at++;
    } while (depth > 0);
    return 0;
}

static int skip_value(struct cursor *c)
{
    char ch = peek(c);
    if (ch == '"' || ch == '\'')
        return skip_string(c);
    if (ch == '[' || ch == '{')
        return skip_brackets(c);
    size_t from = c->at;
    while (c->at < c->text.n && strchr("\r\n#", peek(c)) == NULL)
        c->at++;
    while (c->at > from && (c->text.p[c->at - 1] == ' ' || c->text.p[c->at - 1] == '\t'))
        c->at--;
    return c->at > from ? 0 : wrong(c, "a value is missing");
}

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static int add_part(struct cursor *c, char *name, struct dt_str part, bool first)
{
    size_t used = strlen(name);
    int n = snprintf(name + used, NAME_MAX_TEXT - used, "%s%.*s", first ? "" : "\x1f", (int)part.n,
                     part.p);
    return n >= 0 && used + (size_t)n < NAME_MAX_TEXT ? 0 : wrong(c, "a key is too long");
}

/* A dotted name. Escapes in quoted parts stay as they are: ours has none. */
static int read_name(struct cursor *c, char *name)
{
    name[0] = '\0';
    for (bool first = true;; first = false) {
        skip_spaces(c);
        size_t from = c->at;
        struct dt_str part;
        if (peek(c) == '"' || peek(c) == '\'') {
            if (skip_string(c) < 0)
                return -1;
            part = dt_str(c->text.p + from + 1, c->at - from - 2);
        } else {
            while (is_bare(peek(c)))
                c->at++;
            part = dt_str(c->text.p + from, c->at - from);
            if (part.n == 0)
                return wrong(c, "expected a key");
        }
        if (add_part(c, name, part, first) < 0)
            return -1;
        skip_spaces(c);
        if (peek(c) != '.')
            return 0;
        c->at++;
    }
}

static int end_line(struct cursor *c, struct item *ret)
{
    skip_spaces(c);
    if (peek(c) == '#')
        skip_line(c);
    if (peek(c) == '\r')
        c->at++;
    if (c->at < c->text.n && peek(c) != '\n')
        return wrong(c, "something follows on the line");
    c->at += c->at < c->text.n;
    ret->end = c->at;
    return 0;
}

static int read_header(struct cursor *c, struct item *ret)
{
    ret->header = true;
    ret->array_header = at_word(c, "[[");
    c->at += ret->array_header ? 2 : 1;
    if (read_name(c, c->table) < 0)
        return -1;
    if (!at_word(c, ret->array_header ? "]]" : "]"))
        return wrong(c, "a table header does not end");
    c->at += ret->array_header ? 2 : 1;
    (void)snprintf(ret->table, sizeof(ret->table), "%s", c->table);
    return end_line(c, ret);
}

/* 1 and the next item, 0 at the end, -1 for what is no TOML. */
static int next_item(struct cursor *c, struct item *ret)
{
    *ret = (struct item){.header = false};
    skip_blank(c);
    if (c->at >= c->text.n)
        return 0;
    if (peek(c) == '[')
        return read_header(c, ret) < 0 ? -1 : 1;
    (void)snprintf(ret->table, sizeof(ret->table), "%s", c->table);
    if (read_name(c, ret->key) < 0)
        return -1;
    if (peek(c) != '=')
        return wrong(c, "expected '='");
    c->at++;
    skip_spaces(c);
    ret->value = c->at;
    if (skip_value(c) < 0)
        return -1;
    ret->value_end = c->at;
    return end_line(c, ret) < 0 ? -1 : 1;
}

/* Where a key of ours is, or would go. */
struct place {
    bool has_table, has_key;
    size_t value, value_end;
    size_t insert; /* behind the table's last line */
};

/* Whether `name` is `table` or one of the tables around it. */
static bool is_around(const char *name, const char *table)
{
    size_t n = strlen(name);
    return strncmp(name, table, n) == 0 && (table[n] == '\x1f' || table[n] == '\0');
}

/* A key that defines our table, or a part of it, without its header. */
static bool defines_otherwise(const struct item *i, const char *table)
{
    char full[2 * NAME_MAX_TEXT + 2];
    if (i->array_header)
        return is_around(i->table, table);
    if (i->header)
        return false;
    (void)snprintf(full, sizeof(full), "%s%s%s", i->table, i->table[0] != '\0' ? "\x1f" : "",
                   i->key);
    return is_around(full, table) || (strchr(i->key, '\x1f') != NULL && is_around(table, full));
}

static int find(struct dt_str text, const char *table, const char *key, struct place *ret,
                struct dt_err *err)
{
    struct cursor c = {.text = text, .err = err};
    struct item i;
    int got;
    *ret = (struct place){.has_table = false};
    while ((got = next_item(&c, &i)) > 0) {
        if (defines_otherwise(&i, table))
            return wrong(&c, "this defines the MCP server in a form that cannot be edited; put the "
                             "output of `daytona mcp config codex` there by hand");
        if (strcmp(i.table, table) != 0)
            continue;
        ret->has_table = true;
        ret->insert = i.end;
        if (!i.header && strcmp(i.key, key) == 0) {
            ret->has_key = true;
            ret->value = i.value;
            ret->value_end = i.value_end;
        }
    }
    return got;
}

static int add_name(struct dt_buf *out, const char *name, struct dt_err *err)
{
    for (const char *p = name; *p != '\0'; p++) {
        if (dt_buf_add(out, *p == '\x1f' ? "." : p, 1, err) < 0)
            return -1;
    }
    return 0;
}

static int add_line(struct dt_buf *out, const char *key, struct dt_str value, const char *newline,
                    struct dt_err *err)
{
    if (add_name(out, key, err) < 0 || dt_buf_addz(out, " = ", err) < 0 ||
        dt_buf_adds(out, value, err) < 0)
        return -1;
    return dt_buf_addz(out, newline, err);
}

/* The lines that a missing table or key takes. */
static int make_insert(struct dt_buf *out, const struct place *p, const struct item *want,
                       struct dt_str value, struct dt_str before, struct dt_err *err)
{
    const char *newline = memmem(before.p, before.n, "\r\n", 2) != NULL ? "\r\n" : "\n";
    if (before.n > 0 && before.p[before.n - 1] != '\n' && dt_buf_addz(out, newline, err) < 0)
        return -1;
    if (!p->has_table) {
        if ((before.n > 0 && dt_buf_addz(out, newline, err) < 0) ||
            dt_buf_addz(out, "[", err) < 0 || add_name(out, want->table, err) < 0 ||
            dt_buf_addz(out, "]", err) < 0 || dt_buf_addz(out, newline, err) < 0)
            return -1;
    }
    return add_line(out, want->key, value, newline, err);
}

static int set(struct dt_buf *doc, const struct item *want, struct dt_str value, struct dt_err *err)
{
    struct place p;
    if (find(dt_buf_str(doc), want->table, want->key, &p, err) < 0)
        return -1;
    if (p.has_key && dt_str_eq(dt_str(doc->p + p.value, p.value_end - p.value), value))
        return 0;
    size_t from = p.has_key ? p.value : p.has_table ? p.insert : doc->n;
    size_t to = p.has_key ? p.value_end : from;
    DT_AUTO_BUF struct dt_buf next;
    dt_buf_init(&next, TEXT_MAX);
    int ret = dt_buf_add(&next, doc->p, from, err);
    if (ret == 0)
        ret = p.has_key ? dt_buf_adds(&next, value, err)
                        : make_insert(&next, &p, want, value, dt_str(doc->p, from), err);
    if (ret == 0)
        ret = dt_buf_add(&next, doc->p + to, doc->n - to, err);
    if (ret < 0)
        return -1;
    struct dt_buf old = *doc;
    *doc = next;
    next = old;
    return 0;
}

static int check(struct dt_str text, struct dt_err *err)
{
    struct cursor c = {.text = text, .err = err};
    struct item i;
    int got;
    if (!dt_utf8_valid(text) || memchr(text.n > 0 ? text.p : "", '\0', text.n) != NULL)
        return dt_err_set(err, DT_E_INVALID, "it is not UTF-8 text");
    while ((got = next_item(&c, &i)) > 0)
        ;
    return got;
}

int dt_toml_merge(struct dt_str text, struct dt_str wanted, struct dt_buf *out, bool *changed,
                  struct dt_err *err)
{
    struct cursor c = {.text = wanted, .err = err};
    struct item want;
    int got;
    DT_AUTO_BUF struct dt_buf doc;
    dt_buf_init(&doc, TEXT_MAX);
    if (check(text, err) < 0 || dt_buf_adds(&doc, text, err) < 0)
        return -1;
    while ((got = next_item(&c, &want)) > 0) {
        struct dt_str value = dt_str(wanted.p + want.value, want.value_end - want.value);
        if (!want.header && set(&doc, &want, value, err) < 0)
            return -1;
    }
    if (got < 0 || check(dt_buf_str(&doc), err) < 0)
        return -1;
    *changed = !dt_str_eq(dt_buf_str(&doc), text);
    return dt_buf_adds(out, dt_buf_str(&doc), err);
}
