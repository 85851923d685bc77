#include "toolbox/logtext.h"

#include <stdio.h>

#include "base/utf8.h"

static const struct dt_str markers[] = {
    [DT_JOURNAL_OUT] = {"\1\1\1", 3},
    [DT_JOURNAL_ERR] = {"\2\2\2", 3},
};

/* One call of dt_logtext_next(). */
struct part {
    struct dt_logtext *text;
    struct dt_buf *out;
    struct dt_buf plain; /* before it is escaped */
    uint64_t lost;
    int result;
    struct dt_err *err;
};

void dt_logtext_init(struct dt_logtext *t, enum dt_logtext_form form, bool json)
{
    *t = (struct dt_logtext){.form = form, .json = json, .stream = -1, .until = UINT64_MAX};
}

/* --- JSON --- */

static int escape(struct dt_buf *out, struct dt_str s, struct dt_err *err)
{
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        char code[8];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        (void)snprintf(code, sizeof(code), "\\u%04x", c);
        const char *with = c == '\n' ? "\\n" : c == '"' ? "\\\"" : c == '\\' ? "\\\\" : code;
        if (dt_buf_add(out, s.p + from, i - from, err) < 0 || dt_buf_addz(out, with, err) < 0)
            return -1;
        from = i + 1;
    }
    return dt_buf_add(out, s.p + from, s.n - from, err);
}

/* How many of the last bytes begin a character that is not whole. */
static size_t unfinished(struct dt_str s)
{
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        unsigned char b = (unsigned char)s.p[s.n - back];
        if ((b & 0xc0) == 0x80)
            continue;
        size_t need = b >= 0xf5 ? 1 : b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : b >= 0xc2 ? 2 : 1;
        return need > back ? back : 0;
    }
    return 0;
}

static int add_json(struct dt_logtext *t, struct dt_str s, struct dt_buf *out, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf whole;
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&whole, t->ncarry + s.n);
    dt_buf_init(&clean, 3 * (t->ncarry + s.n));
    if (dt_buf_add(&whole, t->carry, t->ncarry, err) < 0 || dt_buf_adds(&whole, s, err) < 0)
        return -1;
    t->ncarry = unfinished(dt_buf_str(&whole));
    whole.n -= t->ncarry;
    if (t->ncarry > 0)
        memcpy(t->carry, whole.p + whole.n, t->ncarry);
    if (dt_utf8_repair(&clean, dt_buf_str(&whole), err) < 0)
        return -1;
    return clean.n > 0 ? escape(out, dt_buf_str(&clean), err) : 0;
}

/* --- streams --- */

static int mark(struct part *x, enum dt_journal_stream stream)
{
    x->text->last = '\0';
    x->text->run = 0;
    return dt_buf_adds(&x->plain, markers[stream], x->err);
}

/* Between two equal bytes that markers are made of: away, and back. */
static int separate(struct part *x, char c)
{
    enum dt_journal_stream own = (enum dt_journal_stream)x->text->stream;
    enum dt_journal_stream other = own == DT_JOURNAL_OUT ? DT_JOURNAL_ERR : DT_JOURNAL_OUT;
    if (markers[own].p[0] != c)
        return mark(x, own);
    return mark(x, other) < 0 ? -1 : mark(x, own);
}

/* Whether a marker must stand before the next of `left` equal bytes. Runs go in pairs, an odd one
 * first: clients that take a stream apart stumble over one byte of this kind between a marker and
 * the end. */
static bool splits(const struct dt_logtext *t, char c, size_t left)
{
    return c == t->last && (c == 1 || c == 2) && (t->run >= 2 || left % 2 == 0);
}

static size_t equal_bytes(struct dt_str s)
{
    size_t n = 1;
    while (n < s.n && s.p[n] == s.p[0])
        n++;
    return n;
}

static int add_marked(struct part *x, enum dt_journal_stream stream, struct dt_str s)
{
    struct dt_logtext *t = x->text;
    if (t->stream != (int)stream) {
        if (t->stream >= 0 && t->last == markers[stream].p[0] && separate(x, t->last) < 0)
            return -1;
        t->stream = (int)stream;
        if (mark(x, stream) < 0)
            return -1;
    }
    size_t from = 0, left = 0;
    for (size_t i = 0; i < s.n; i++, left--) {
        if (left == 0)
            left = equal_bytes(dt_str(s.p + i, s.n - i));
        if (splits(t, s.p[i], left)) {
            if (dt_buf_add(&x->plain, s.p + from, i - from, x->err) < 0 || separate(x, s.p[i]) < 0)
                return -1;
            from = i;
        }
        t->run = s.p[i] == t->last ? t->run + 1 : 1;
        t->last = s.p[i];
    }
    return dt_buf_add(&x->plain, s.p + from, s.n - from, x->err);
}

static int add(struct part *x, enum dt_journal_stream stream, struct dt_str s)
{
    switch (x->text->form) {
    case DT_LOGTEXT_MARKED:
        return add_marked(x, stream, s);
    case DT_LOGTEXT_COMBINED:
        return dt_buf_adds(&x->plain, s, x->err);
    case DT_LOGTEXT_OUT:
        return stream == DT_JOURNAL_OUT ? dt_buf_adds(&x->plain, s, x->err) : 0;
    case DT_LOGTEXT_ERR:
        return stream == DT_JOURNAL_ERR ? dt_buf_adds(&x->plain, s, x->err) : 0;
    }
    return 0;
}

static void tell_lost(struct part *x)
{
    char note[80];
    int n = snprintf(note, sizeof(note), "\n[%llu bytes of output left out]\n",
                     (unsigned long long)x->lost);
    x->lost = 0;
    x->result = add(x, DT_JOURNAL_OUT, dt_str(note, (size_t)n));
}

static void on_piece(void *ctx, enum dt_journal_stream stream, const char *p, size_t n)
{
    struct part *x = ctx;
    if (x->lost > 0)
        tell_lost(x);
    if (x->result == 0)
        x->result = add(x, stream, dt_str(p, n));
}

int dt_logtext_next(struct dt_logtext *t, struct dt_journal *j, struct dt_buf *out,
                    struct dt_err *err)
{
    struct part x = {.text = t, .out = out, .err = err};
    dt_buf_init(&x.plain, DT_LOGTEXT_PART_MAX);
    if (t->cursor.at >= t->until || !dt_journal_read(j, &t->cursor, &x.lost, on_piece, &x))
        return 0;
    if (x.lost > 0)
        tell_lost(&x);
    if (x.result == 0 && x.plain.n > 0)
        x.result = t->json ? add_json(t, dt_buf_str(&x.plain), out, err)
                           : dt_buf_adds(out, dt_buf_str(&x.plain), err);
    dt_buf_done(&x.plain);
    return x.result < 0 ? -1 : 1;
}

int dt_logtext_end(struct dt_logtext *t, struct dt_buf *out, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, 16);
    if (t->ncarry == 0)
        return 0;
    if (dt_utf8_repair(&clean, dt_str(t->carry, t->ncarry), err) < 0)
        return -1;
    t->ncarry = 0;
    return dt_buf_adds(out, dt_buf_str(&clean), err);
}
