#include "toolbox/edit.h"

#include <stdio.h>

enum { LINES_SHOWN = 5 };

static const char *find(struct dt_str text, const char *from, struct dt_str what)
{
    return memmem(from, text.n - (size_t)(from - text.p), what.p, what.n);
}

static size_t line_of(struct dt_str text, const char *at)
{
    size_t line = 1;
    const char *p = text.p;
    while ((p = memchr(p, '\n', (size_t)(at - p))) != NULL) {
        line++;
        p++;
    }
    return line;
}

/* Whether the text would be there with the file's own line ends. */
static bool is_there_with_crlf(const struct dt_edit *e, struct dt_str text)
{
    DT_AUTO_BUF struct dt_buf other;
    struct dt_str rest = e->old_text, line;
    dt_buf_init(&other, 2 * e->old_text.n);
    while (dt_str_cut(&rest, '\n', &line)) {
        if (dt_buf_adds(&other, line, NULL) < 0 ||
            (rest.p != NULL && dt_buf_addz(&other, "\r\n", NULL) < 0))
            return false;
    }
    return other.n > e->old_text.n && find(text, text.p, dt_buf_str(&other)) != NULL;
}

static int not_there(const struct dt_edit *e, struct dt_str text, struct dt_err *err)
{
    if (text.n > 0 && is_there_with_crlf(e, text))
        return dt_err_set(err, DT_E_CONFLICT,
                          "the old text is not there: this file's lines end with CR LF, those of "
                          "the old text with LF");
    return dt_err_set(err, DT_E_CONFLICT,
                      "the old text is not there; it must be exactly what the file holds, with "
                      "blanks and line ends");
}

static int not_unique(const struct dt_edit *e, struct dt_str text, struct dt_err *err)
{
    char lines[LINES_SHOWN * 24 + 8] = "";
    size_t count = 0, used = 0;
    for (const char *at = text.p; (at = find(text, at, e->old_text)) != NULL; at += e->old_text.n) {
        if (count < LINES_SHOWN)
            used += (size_t)snprintf(lines + used, sizeof(lines) - used, "%s%zu",
                                     count > 0 ? ", " : "", line_of(text, at));
        count++;
    }
    return dt_err_set(err, DT_E_CONFLICT, "the old text is there %zu times, in lines %s%s", count,
                      lines, count > LINES_SHOWN ? ", ..." : "");
}

int dt_edit_apply(const struct dt_edit *e, struct dt_str text, struct dt_buf *out, size_t *count,
                  struct dt_err *err)
{
    const char *at = text.n > 0 ? find(text, text.p, e->old_text) : NULL, *done = text.p;
    if (at == NULL)
        return not_there(e, text, err);
    if (!e->all && find(text, at + e->old_text.n, e->old_text) != NULL)
        return not_unique(e, text, err);
    size_t n = 0;
    for (; at != NULL; at = find(text, done, e->old_text)) {
        if (dt_buf_add(out, done, (size_t)(at - done), err) < 0 ||
            dt_buf_adds(out, e->new_text, err) < 0)
            return -1;
        done = at + e->old_text.n;
        n++;
    }
    *count = n;
    return dt_buf_add(out, done, text.n - (size_t)(done - text.p), err);
}
