#include "mcp/output.h"

#include "base/utf8.h"

enum { LEAST = 1000 }; /* what a stream keeps when the other one is long */

static size_t shown(const struct dt_output *o)
{
    return o->head.n + o->tail.n;
}

/* A replaced byte looks longer than it was; only text without any can be counted exactly. */
static bool countable(struct dt_str s)
{
    return s.n == 0 || memmem(s.p, s.n, "\xEF\xBF\xBD", 3) == NULL;
}

static void shorten(struct dt_output *o, size_t budget)
{
    if (o->omitted == 0 || shown(o) <= budget)
        return;
    size_t head = dt_utf8_cut(o->head, budget / 2);
    size_t want = budget / 2 < o->tail.n ? budget / 2 : o->tail.n;
    size_t from = o->tail.n - want;
    while (from < o->tail.n && ((unsigned char)o->tail.p[from] & 0xC0) == 0x80)
        from++;
    struct dt_str left = dt_str(o->head.p + head, o->head.n - head);
    struct dt_str right = dt_str(o->tail.p, from);
    if (!countable(left) || !countable(right))
        return;
    o->omitted += left.n + right.n;
    o->head.n = head;
    o->tail = dt_str(o->tail.p + from, o->tail.n - from);
}

void dt_output_fit(struct dt_output *a, struct dt_output *b, size_t budget)
{
    if (shown(a) + shown(b) <= budget)
        return;
    size_t for_a = budget / 2;
    if (shown(b) < budget / 2)
        for_a = budget - shown(b);
    else if (shown(a) < budget / 2)
        for_a = shown(a);
    size_t for_b = for_a < budget ? budget - for_a : 0;
    shorten(a, for_a > LEAST ? for_a : LEAST);
    shorten(b, for_b > LEAST ? for_b : LEAST);
}

/* Moves i over bytes from `low` up to, not including, `high`. */
static size_t skip_range(const char *p, size_t n, size_t i, unsigned low, unsigned high)
{
    while (i < n && (unsigned char)p[i] >= low && (unsigned char)p[i] < high)
        i++;
    return i;
}

/* An operating system command or another string: up to BEL or ESC \, never over a line's end. */
static size_t string_length(const char *p, size_t n)
{
    size_t i = 2;
    while (i < n && p[i] != '\a' && p[i] != '\x1b' && p[i] != '\n')
        i++;
    if (i < n && p[i] == '\a')
        return i + 1;
    return i + 1 < n && p[i] == '\x1b' && p[i + 1] == '\\' ? i + 2 : i;
}

/* The length of the escape sequence that starts at p (p[0] is ESC). */
static size_t escape_length(const char *p, size_t n)
{
    if (n < 2)
        return n;
    if (strchr("]PX^_", p[1]) != NULL)
        return string_length(p, n);
    bool control = p[1] == '[';
    size_t i = control ? skip_range(p, n, 2, 0x20, 0x40) : skip_range(p, n, 1, 0x20, 0x30);
    unsigned char last = i < n ? (unsigned char)p[i] : 0;
    return last >= (control ? 1 : 0x30) && last < (control ? 0x80 : 0x7f) ? i + 1 : i;
}

int dt_output_plain(struct dt_buf *out, struct dt_str text, struct dt_err *err)
{
    while (text.n > 0) {
        const char *esc = memchr(text.p, '\x1b', text.n);
        size_t n = esc != NULL ? (size_t)(esc - text.p) : text.n;
        if (dt_buf_add(out, text.p, n, err) < 0)
            return -1;
        if (esc != NULL)
            n += escape_length(esc, text.n - n);
        text = dt_str(text.p + n, text.n - n);
    }
    return 0;
}

int dt_output_print(struct dt_buf *out, const struct dt_output *o, struct dt_err *err)
{
    if (dt_output_plain(out, o->head, err) < 0)
        return -1;
    if (o->omitted > 0 && dt_buf_addf(out, err, "\n[... %llu bytes left out ...]\n",
                                      (unsigned long long)o->omitted) < 0)
        return -1;
    return dt_output_plain(out, o->tail, err);
}
