#include "toolbox/lsp_frame.h"

enum { KEPT_MAX = 64 * 1024, SHOWN_MAX = 60 };

void dt_lsp_frame_init(struct dt_lsp_frame *f)
{
    *f = (struct dt_lsp_frame){.at = 0};
    dt_buf_init(&f->pending, DT_LSP_MESSAGE_MAX + DT_LSP_HEAD_MAX + DT_LSP_PIECE_MAX);
}

void dt_lsp_frame_done(struct dt_lsp_frame *f)
{
    dt_buf_done(&f->pending);
    f->at = 0;
    f->in_body = false;
}

int dt_lsp_frame_add(struct dt_lsp_frame *f, const char *p, size_t n, struct dt_err *err)
{
    dt_buf_consume(&f->pending, f->at);
    f->at = 0;
    /* One long message must not hold its memory for the rest of the server's life. */
    if (f->pending.n == 0 && f->pending.cap > KEPT_MAX)
        dt_buf_done(&f->pending);
    return dt_buf_add(&f->pending, p, n, err);
}

/* What a person needs to recognize it, without bytes that a terminal would obey. */
static int not_a_field(struct dt_str line, struct dt_err *err)
{
    char shown[SHOWN_MAX + 1];
    size_t n = line.n < SHOWN_MAX ? line.n : SHOWN_MAX;
    for (size_t i = 0; i < n; i++)
        shown[i] = line.p[i] >= ' ' && line.p[i] < 0x7f ? line.p[i] : '?';
    shown[n] = '\0';
    return dt_err_set(err, DT_E_INVALID, "'%s' is no field of a message's head", shown);
}

static int read_length(struct dt_str value, size_t *length, struct dt_err *err)
{
    unsigned long long n;
    if (dt_str_u64(dt_str_trim(value), UINT64_MAX, &n) < 0)
        return dt_err_set(err, DT_E_INVALID, "Content-Length is no number");
    if (n > DT_LSP_MESSAGE_MAX)
        return dt_err_set(err, DT_E_TOO_LARGE, "a message of %llu bytes; %d are allowed", n,
                          DT_LSP_MESSAGE_MAX);
    *length = (size_t)n;
    return 0;
}

/* `head` holds whole lines, each ended by CRLF. */
static int read_head(struct dt_str head, size_t *length, struct dt_err *err)
{
    bool found = false;
    struct dt_str line, name;
    while (head.n > 0 && dt_str_cut(&head, '\n', &line)) {
        line.n--; /* the CR */
        struct dt_str value = line;
        if (!dt_str_cut(&value, ':', &name) || value.p == NULL || name.n == 0)
            return not_a_field(line, err);
        if (!dt_str_eq_nocase(name, DT_STR("Content-Length")))
            continue;
        if (found)
            return dt_err_set(err, DT_E_INVALID, "two Content-Length fields in one message");
        if (read_length(value, length, err) < 0)
            return -1;
        found = true;
    }
    return found ? 0 : dt_err_set(err, DT_E_INVALID, "a message without Content-Length");
}

/* 1: the head is whole, *n its bytes with the empty line. 0: not yet. Bad lines are found as soon
 * as they end, so that a program which is no language server is known by its first line. */
static int find_head(struct dt_str in, size_t *n, struct dt_err *err)
{
    size_t start = 0;
    const char *end;
    while (start < in.n && (end = memchr(in.p + start, '\n', in.n - start)) != NULL) {
        size_t stop = (size_t)(end - in.p);
        if (stop == start || in.p[stop - 1] != '\r')
            return not_a_field(dt_str(in.p + start, stop - start), err);
        if (stop + 1 > DT_LSP_HEAD_MAX)
            break;
        if (stop == start + 1) {
            *n = stop + 1;
            return 1;
        }
        if (memchr(in.p + start, ':', stop - start) == NULL)
            return not_a_field(dt_str(in.p + start, stop - 1 - start), err);
        start = stop + 1;
    }
    if (in.n > DT_LSP_HEAD_MAX)
        return dt_err_set(err, DT_E_TOO_LARGE, "the head of a message is longer than %d bytes",
                          DT_LSP_HEAD_MAX);
    return 0;
}

int dt_lsp_frame_next(struct dt_lsp_frame *f, struct dt_str *message, struct dt_err *err)
{
    struct dt_str in = dt_str(f->pending.p + f->at, f->pending.n - f->at);
    if (!f->in_body) {
        size_t n = 0;
        int r = find_head(in, &n, err);
        if (r <= 0)
            return r;
        if (read_head(dt_str(in.p, n - 2), &f->length, err) < 0)
            return -1;
        f->at += n;
        in = dt_str(in.p + n, in.n - n);
        f->in_body = true;
    }
    if (in.n < f->length)
        return 0;
    *message = dt_str(in.p, f->length);
    f->at += f->length;
    f->in_body = false;
    return 1;
}
