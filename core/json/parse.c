/* RFC 8259, and what json.h says on top. Measured: with the parser of jansson, two thirds of what a
 * tools/call costs are its lexer, which looks at every byte several times. This one takes strings
 * whole; the trees are jansson's. */
#include <math.h>

#include "base/utf8.h"
#include "json/json.h"

enum { NUMBER_MAX = 4096 }; /* digits */

struct parser {
    const char *start, *p, *end;
    size_t depth; /* containers that may still be opened */
    size_t max_depth;
    struct dt_buf text; /* of the string or number that is read, when it is needed apart */
    struct dt_err *err;
};

static json_t *value(struct parser *s);

static json_t *fail(struct parser *s, const char *why)
{
    (void)dt_err_set(s->err, DT_E_INVALID, "invalid JSON at byte %zu: %s",
                     (size_t)(s->p - s->start), why);
    return NULL;
}

static json_t *no_memory(struct parser *s)
{
    (void)dt_err_set(s->err, DT_E_NOMEM, "no memory for JSON");
    return NULL;
}

static void skip_space(struct parser *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

/* Takes `c` when it comes next. */
static bool take(struct parser *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* --- strings --- */

static int hex4(const char *p, unsigned *ret)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return -1;
        v = v << 4 | digit;
    }
    *ret = v;
    return 0;
}

static int add_utf8(struct dt_buf *out, unsigned c, struct dt_err *err)
{
    char b[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        b[i] = (char)(0x80 | (c & 0x3f));
    b[0] = (char)(lead[n] | c);
    return dt_buf_add(out, b, n, err);
}

/* p is behind `\u`. */
static int add_unicode(struct parser *s)
{
    unsigned c, low;
    if (s->end - s->p < 4 || hex4(s->p, &c) < 0) {
        (void)fail(s, "\\u needs four hexadecimal digits");
        return -1;
    }
    s->p += 4;
    if (c >= 0xd800 && c < 0xdc00 && s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u' &&
        hex4(s->p + 2, &low) == 0 && low >= 0xdc00 && low < 0xe000) {
        s->p += 6;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (c >= 0xd800 && c < 0xe000) {
        (void)fail(s, "half of a surrogate pair");
        return -1;
    }
    return add_utf8(&s->text, c, s->err);
}

/* p is behind the backslash. */
static int add_escape(struct parser *s)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *known = s->p < s->end && *s->p != '\0' ? strchr(from, *s->p) : NULL;
    if (take(s, 'u'))
        return add_unicode(s);
    if (known == NULL) {
        (void)fail(s, "unknown escape");
        return -1;
    }
    s->p++;
    return dt_buf_add(&s->text, &to[known - from], 1, s->err);
}

/* Moves over what stands for itself; *ascii becomes false when there was something else. */
static void skip_plain(struct parser *s, bool *ascii)
{
    unsigned char all = 0;
    const char *p = s->p;
    while (p < s->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        all |= (unsigned char)*p++;
    s->p = p;
    *ascii = *ascii && all < 0x80;
}

/* p is behind the opening quote. *ret points into the source, or into s->text if it had escapes. */
static int string(struct parser *s, struct dt_str *ret)
{
    bool ascii = true;
    const char *from = s->p;
    skip_plain(s, &ascii);
    bool whole = s->p < s->end && *s->p == '"';
    if (!whole)
        dt_buf_clear(&s->text);
    while (!whole && s->p < s->end && *s->p == '\\') {
        if (dt_buf_add(&s->text, from, (size_t)(s->p++ - from), s->err) < 0 || add_escape(s) < 0)
            return -1;
        from = s->p;
        skip_plain(s, &ascii);
    }
    if (s->p == s->end || *s->p != '"') {
        (void)fail(s,
                   s->p == s->end ? "a string without an end" : "a control character in a string");
        return -1;
    }
    struct dt_str last = dt_str(from, (size_t)(s->p++ - from));
    if (!whole && dt_buf_adds(&s->text, last, s->err) < 0)
        return -1;
    *ret = whole ? last : dt_buf_str(&s->text);
    if (ascii || dt_utf8_valid(*ret))
        return 0;
    (void)fail(s, "invalid UTF-8 in a string");
    return -1;
}

static json_t *string_value(struct parser *s)
{
    struct dt_str text;
    if (string(s, &text) < 0)
        return NULL;
    json_t *j = json_stringn_nocheck(text.p, text.n);
    return j != NULL ? j : no_memory(s);
}

/* --- numbers --- */

static bool digits(struct parser *s)
{
    const char *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > from;
}

static json_t *integer(struct parser *s, const char *from)
{
    bool negative = *from == '-';
    unsigned long long v = 0, limit = negative ? 1ULL << 63 : (1ULL << 63) - 1;
    for (const char *p = from + negative; p < s->p; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (v > (limit - digit) / 10)
            return fail(s, negative ? "too big negative integer" : "too big integer");
        v = v * 10 + digit;
    }
    json_t *j = json_integer((json_int_t)(negative ? 0 - v : v));
    return j != NULL ? j : no_memory(s);
}

static json_t *real(struct parser *s, const char *from)
{
    dt_buf_clear(&s->text);
    if (s->p - from > NUMBER_MAX)
        return fail(s, "a number with too many digits");
    if (dt_buf_add(&s->text, from, (size_t)(s->p - from), s->err) < 0)
        return NULL;
    double v = strtod(s->text.p, NULL);
    if (!isfinite(v))
        return fail(s, "too big real number");
    json_t *j = json_real(v);
    return j != NULL ? j : no_memory(s);
}

static json_t *number(struct parser *s)
{
    const char *from = s->p;
    (void)take(s, '-');
    if (!take(s, '0') && !digits(s))
        return fail(s, "unexpected character");
    bool whole = true;
    if (take(s, '.')) {
        whole = false;
        if (!digits(s))
            return fail(s, "no digit behind the point");
    }
    if (take(s, 'e') || take(s, 'E')) {
        whole = false;
        if (!take(s, '+'))
            (void)take(s, '-');
        if (!digits(s))
            return fail(s, "no digit in the exponent");
    }
    return whole ? integer(s, from) : real(s, from);
}

/* --- containers --- */

static json_t *array(struct parser *s)
{
    DT_AUTO_JSON json_t *all = json_array();
    skip_space(s);
    if (all == NULL)
        return no_memory(s);
    if (take(s, ']'))
        return dt_take(all);
    do {
        json_t *one = value(s);
        if (one == NULL)
            return NULL;
        if (json_array_append_new(all, one) < 0)
            return no_memory(s);
        skip_space(s);
    } while (take(s, ','));
    return take(s, ']') ? dt_take(all) : fail(s, "',' or ']' expected");
}

/* A name with an end of its own, as jansson wants it. */
struct name {
    char small[64];
    char *large; /* NULL: it is in `small` */
};

static int name(struct parser *s, struct name *ret)
{
    struct dt_str text;
    skip_space(s);
    if (!take(s, '"')) {
        (void)fail(s, "a name in quotes expected");
        return -1;
    }
    if (string(s, &text) < 0)
        return -1;
    if (text.n >= sizeof(ret->small) && (ret->large = malloc(text.n + 1)) == NULL) {
        (void)no_memory(s);
        return -1;
    }
    char *p = ret->large != NULL ? ret->large : ret->small;
    memcpy(p, text.p, text.n);
    p[text.n] = '\0';
    if (strlen(p) == text.n)
        return 0;
    (void)fail(s, "NUL in a name");
    return -1;
}

/* A double shows by the size of its object. */
static int add_member(struct parser *s, json_t *all, const char *key)
{
    size_t before = json_object_size(all);
    skip_space(s);
    if (!take(s, ':')) {
        (void)fail(s, "':' expected");
        return -1;
    }
    json_t *one = value(s);
    if (one == NULL)
        return -1;
    if (json_object_set_new_nocheck(all, key, one) < 0)
        (void)no_memory(s);
    else if (json_object_size(all) > before)
        return 0;
    else
        (void)fail(s, "a name is given twice");
    return -1;
}

static int member(struct parser *s, json_t *all)
{
    struct name key;
    key.large = NULL;
    int ret = name(s, &key);
    if (ret == 0)
        ret = add_member(s, all, key.large != NULL ? key.large : key.small);
    free(key.large);
    return ret;
}

static json_t *object(struct parser *s)
{
    DT_AUTO_JSON json_t *all = json_object();
    skip_space(s);
    if (all == NULL)
        return no_memory(s);
    if (take(s, '}'))
        return dt_take(all);
    do {
        if (member(s, all) < 0)
            return NULL;
        skip_space(s);
    } while (take(s, ','));
    return take(s, '}') ? dt_take(all) : fail(s, "',' or '}' expected");
}

static json_t *container(struct parser *s, json_t *(*read)(struct parser *s))
{
    if (s->depth == 0) {
        (void)dt_err_set(s->err, DT_E_INVALID, "JSON nested deeper than %zu", s->max_depth);
        return NULL;
    }
    s->depth--;
    json_t *j = read(s);
    s->depth++;
    return j;
}

static json_t *literal(struct parser *s)
{
    struct dt_str rest = dt_str(s->p, (size_t)(s->end - s->p));
    if (dt_str_starts(rest, DT_STR("true")))
        return s->p += 4, json_true();
    if (dt_str_starts(rest, DT_STR("false")))
        return s->p += 5, json_false();
    if (dt_str_starts(rest, DT_STR("null")))
        return s->p += 4, json_null();
    return fail(s, rest.n == 0 ? "the end came too early" : "unexpected character");
}

static json_t *value(struct parser *s)
{
    skip_space(s);
    if (take(s, '"'))
        return string_value(s);
    if (take(s, '{'))
        return container(s, object);
    if (take(s, '['))
        return container(s, array);
    if (s->p < s->end && (*s->p == '-' || (*s->p >= '0' && *s->p <= '9')))
        return number(s);
    return literal(s);
}

json_t *dt_json_parse(struct dt_str text, size_t max_depth, struct dt_err *err)
{
    struct parser s = {.start = text.p,
                       .p = text.p,
                       .end = text.p != NULL ? text.p + text.n : NULL,
                       .depth = max_depth,
                       .max_depth = max_depth,
                       .err = err};
    dt_buf_init(&s.text, text.n + 16);
    DT_AUTO_JSON json_t *j = value(&s);
    skip_space(&s);
    if (j != NULL && s.p < s.end) {
        (void)fail(&s, "more than one value");
        j = dt_json_free(j);
    }
    dt_buf_done(&s.text);
    return dt_take(j);
}
