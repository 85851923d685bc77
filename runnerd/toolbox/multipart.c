#include "toolbox/multipart.h"

#include <stdio.h>

enum { FEED_MAX = 64 * 1024, PADDING_MAX = 256 };

/*
 * PREAMBLE -> AFTER                what stands before the first boundary is dropped
 * AFTER    -> HEAD | EPILOGUE      behind a boundary: `--` or the end of its line
 * HEAD     -> BODY                 the part's headers
 * BODY     -> AFTER
 */
enum state { PREAMBLE, AFTER, HEAD, BODY, EPILOGUE };

/* Moves *i behind a parameter's value, quoted or plain, and decodes it into out (NULL: only skips).
 * False when it does not fit. */
static bool take_value(struct dt_str value, size_t *i, char *out, size_t size)
{
    bool quoted = *i < value.n && value.p[*i] == '"';
    *i += quoted;
    size_t n = 0;
    for (; *i < value.n && value.p[*i] != (quoted ? '"' : ';'); (*i)++) {
        /* Only \" and \\ are escapes: browsers send Windows paths as they are. */
        if (quoted && value.p[*i] == '\\' && *i + 1 < value.n &&
            (value.p[*i + 1] == '"' || value.p[*i + 1] == '\\'))
            (*i)++;
        if (out != NULL && n + 1 >= size)
            return false;
        if (out != NULL)
            out[n++] = value.p[*i];
    }
    *i += quoted && *i < value.n;
    if (out != NULL)
        out[n] = '\0';
    return out == NULL || memchr(out, '\0', n) == NULL;
}

/* Moves i to the first character of `stop`, or to the end. */
static size_t skip_to(struct dt_str value, size_t i, const char *stop)
{
    while (i < value.n && (value.p[i] == '\0' || strchr(stop, value.p[i]) == NULL))
        i++;
    return i;
}

/* Finds `key=` among the parameters of a header value and decodes its value. */
static bool parameter(struct dt_str value, const char *key, char *out, size_t size)
{
    size_t kn = strlen(key);
    size_t i = skip_to(value, 0, ";");
    while (i < value.n) {
        while (i < value.n && value.p[i] != '\0' && strchr("; \t", value.p[i]) != NULL)
            i++;
        bool ours = value.n - i > kn && value.p[i + kn] == '=' &&
                    dt_str_eq_nocase(dt_str(value.p + i, kn), dt_str(key, kn));
        i = skip_to(value, i, "=;");
        if (i < value.n && value.p[i] == '=') {
            i++;
            if (!take_value(value, &i, ours ? out : NULL, size))
                return false;
            if (ours)
                return true;
        }
        i = skip_to(value, i, ";");
    }
    return false;
}

int dt_multipart_init(struct dt_multipart *m, struct dt_str content_type,
                      const struct dt_multipart_events *events, void *ctx, struct dt_err *err)
{
    char boundary[DT_MULTIPART_BOUNDARY_MAX + 1];
    const struct dt_str want = DT_STR("multipart/form-data");
    if (content_type.n < want.n || !dt_str_eq_nocase(dt_str(content_type.p, want.n), want) ||
        !parameter(content_type, "boundary", boundary, sizeof(boundary)) || boundary[0] == '\0')
        return dt_err_set(err, DT_E_INVALID,
                          "invalid multipart form: the Content-Type must be multipart/form-data "
                          "with a boundary");
    *m = (struct dt_multipart){.events = events, .ctx = ctx, .state = PREAMBLE};
    m->delimiter_n = (size_t)snprintf(m->delimiter, sizeof(m->delimiter), "\r\n--%s", boundary);
    dt_buf_init(&m->pending, FEED_MAX + DT_MULTIPART_HEAD_MAX + 4096);
    /* The first boundary has no line before it. */
    return dt_buf_addz(&m->pending, "\r\n", err);
}

void dt_multipart_done(struct dt_multipart *m)
{
    dt_buf_done(&m->pending);
}

static void read_head(struct dt_multipart *m, struct dt_str head)
{
    char name[4096 + 64], filename[4096];
    bool has_name = false, has_filename = false;
    struct dt_str line;
    while (dt_str_cut(&head, '\n', &line)) {
        const struct dt_str key = DT_STR("content-disposition:");
        if (line.n < key.n || !dt_str_eq_nocase(dt_str(line.p, key.n), key))
            continue;
        if (line.p[line.n - 1] == '\r')
            line.n--;
        has_name = parameter(line, "name", name, sizeof(name));
        has_filename = parameter(line, "filename", filename, sizeof(filename));
    }
    m->events->on_part(m->ctx, has_name ? name : NULL, has_filename ? filename : NULL);
}

static void emit(struct dt_multipart *m, size_t n)
{
    if (n > 0 && m->state == BODY)
        m->events->on_data(m->ctx, m->pending.p, n);
    dt_buf_consume(&m->pending, n);
}

/* Up to the next delimiter, or as far as none can begin. Returns 1 to go on, 0 to wait for more. */
static int step_body(struct dt_multipart *m)
{
    const char *at = memmem(m->pending.p, m->pending.n, m->delimiter, m->delimiter_n);
    if (at == NULL) {
        if (m->pending.n >= m->delimiter_n)
            emit(m, m->pending.n - m->delimiter_n + 1);
        return 0;
    }
    emit(m, (size_t)(at - m->pending.p));
    if (m->state == BODY)
        m->events->on_part_end(m->ctx);
    dt_buf_consume(&m->pending, m->delimiter_n);
    m->state = AFTER;
    return 1;
}

static int step_after(struct dt_multipart *m, struct dt_err *err)
{
    if (m->pending.n < 2)
        return 0;
    if (memcmp(m->pending.p, "--", 2) == 0) {
        m->state = EPILOGUE;
        return 1;
    }
    const char *end = memmem(m->pending.p, m->pending.n, "\r\n", 2);
    size_t n = end != NULL ? (size_t)(end - m->pending.p) : m->pending.n;
    if (n > PADDING_MAX || strspn(m->pending.p, " \t\r") < n)
        return dt_err_set(err, DT_E_INVALID, "multipart: garbage behind a boundary");
    if (end == NULL)
        return 0;
    /* The line's end stays: without any header it is the first half of the blank line. */
    dt_buf_consume(&m->pending, n);
    m->state = HEAD;
    return 1;
}

static int step_head(struct dt_multipart *m, struct dt_err *err)
{
    const char *end = memmem(m->pending.p, m->pending.n, "\r\n\r\n", 4);
    size_t n = end != NULL ? (size_t)(end - m->pending.p) : m->pending.n;
    if (n > DT_MULTIPART_HEAD_MAX)
        return dt_err_set(err, DT_E_INVALID, "multipart: a part's headers are longer than %d bytes",
                          DT_MULTIPART_HEAD_MAX);
    if (end == NULL)
        return 0;
    read_head(m, dt_str(m->pending.p, n));
    dt_buf_consume(&m->pending, n + 4);
    m->state = BODY;
    return 1;
}

static int run(struct dt_multipart *m, struct dt_err *err)
{
    int r = 1;
    while (r > 0) {
        switch ((enum state)m->state) {
        case PREAMBLE:
        case BODY:
            r = step_body(m);
            break;
        case AFTER:
            r = step_after(m, err);
            break;
        case HEAD:
            r = step_head(m, err);
            break;
        case EPILOGUE:
            dt_buf_clear(&m->pending);
            r = 0;
            break;
        }
    }
    return r;
}

int dt_multipart_feed(struct dt_multipart *m, const char *p, size_t n, struct dt_err *err)
{
    while (n > 0) {
        size_t part = n < FEED_MAX ? n : FEED_MAX;
        if (dt_buf_add(&m->pending, p, part, err) < 0 || run(m, err) < 0)
            return -1;
        p += part;
        n -= part;
    }
    return 0;
}

int dt_multipart_end(struct dt_multipart *m, struct dt_err *err)
{
    if (m->state != EPILOGUE)
        return dt_err_set(err, DT_E_INVALID,
                          "reading part: the form ends before its last boundary");
    return 0;
}
