#include "net/http1.h"

enum {
    OVERHEAD_MAX = 16 * 1024, /* chunk extensions and trailers of one message */
    LEADING_MAX = 256,        /* blank lines before a request */
};

/* --- small grammar --- */

/* Sets of the characters 0..127, as bitmaps. */
static const uint32_t token_chars[4] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff};
static const uint32_t authority_chars[4] = {0, 0x2fff7ff2, 0xaffffffe, 0x47fffffe};

static bool all_in(const uint32_t set[4], struct dt_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c > 127 || (set[c / 32] >> c % 32 & 1) == 0)
            return false;
    }
    return true;
}

/* RFC 9110 section 5.6.2. */
bool dt_http1_is_token(struct dt_str s)
{
    return s.n > 0 && all_in(token_chars, s);
}

bool dt_http1_is_value(struct dt_str s)
{
    return s.n == 0 || (memchr(s.p, '\r', s.n) == NULL && memchr(s.p, '\n', s.n) == NULL &&
                        memchr(s.p, '\0', s.n) == NULL);
}

bool dt_http1_has_token(struct dt_str list, const char *token)
{
    struct dt_str piece;
    while (dt_str_cut(&list, ',', &piece)) {
        if (dt_str_eq_nocase(dt_str_trim(piece), dt_str_z(token)))
            return true;
    }
    return false;
}

/* reg-name, IPv4 or [IPv6], with a port; empty is allowed (RFC 9112 section 3.2). */
static bool is_authority(struct dt_str s)
{
    return all_in(authority_chars, s);
}

/* --- the end of a head --- */

static int bad(struct dt_err *err, const char *what)
{
    return dt_err_set(err, DT_E_BAD_REQUEST, "%s", what);
}

static int too_large(struct dt_err *err)
{
    return dt_err_set(err, DT_E_TOO_LARGE, "the head is larger than %d bytes or %d headers",
                      DT_HTTP_HEAD_MAX, DT_HTTP_HEADERS_MAX);
}

/* One line p[0..n), with its LF. Returns 1 for the blank line. */
static int check_line(const struct dt_http1_scan *s, const char *p, size_t n, struct dt_err *err)
{
    if (n < 2 || p[n - 2] != '\r')
        return bad(err, "a line of the head ends with a bare LF");
    if (n == 2)
        return 1;
    if (p[0] == ' ' || p[0] == '\t')
        return bad(err, "a line of the head begins with white space");
    if (memchr(p, '\0', n) != NULL)
        return bad(err, "the head holds a NUL");
    if (memchr(p, '\r', n - 2) != NULL)
        return bad(err, "the head holds a bare CR");
    if (s->lines > DT_HTTP_HEADERS_MAX)
        return too_large(err);
    if (s->lines > 0) {
        const char *colon = memchr(p, ':', n);
        if (colon == NULL || !dt_http1_is_token(dt_str(p, (size_t)(colon - p))))
            return bad(err, "a header has no valid name");
    }
    return 0;
}

ssize_t dt_http1_scan(struct dt_http1_scan *s, const char *p, size_t n, struct dt_err *err)
{
    /* What can never begin a request or an answer (TLS, for one) is refused at once. */
    if (n > 0 && s->at == 0 && !dt_http1_is_token(dt_str(p, 1)))
        return bad(err, "this is no HTTP/1 message");
    while (s->at < n) {
        const char *lf = memchr(p + s->at, '\n', n - s->at);
        if (lf == NULL) {
            s->at = n;
            break;
        }
        s->at = (size_t)(lf - p) + 1;
        if (s->at > DT_HTTP_HEAD_MAX)
            return too_large(err);
        int blank = check_line(s, p + s->line, s->at - s->line, err);
        if (blank < 0)
            return -1;
        s->line = s->at;
        s->lines++;
        if (blank > 0)
            return (ssize_t)s->at;
    }
    return n >= DT_HTTP_HEAD_MAX ? too_large(err) : 0;
}

/* --- llhttp's callbacks --- */

static int on_target(llhttp_t *p, const char *at, size_t n)
{
    ((struct dt_http1 *)p->data)->head->target = dt_str(at, n);
    return 0;
}

static int on_reason(llhttp_t *p, const char *at, size_t n)
{
    ((struct dt_http1 *)p->data)->head->reason = dt_str(at, n);
    return 0;
}

/* Behind the head: trailers, which nobody gets. */
static int on_overhead(llhttp_t *p, const char *at, size_t n)
{
    (void)at;
    struct dt_http1 *x = p->data;
    x->overhead += n + 4;
    return x->overhead > OVERHEAD_MAX ? -1 : 0;
}

static int on_name(llhttp_t *p, const char *at, size_t n)
{
    struct dt_http1_head *h = ((struct dt_http1 *)p->data)->head;
    if (h == NULL)
        return on_overhead(p, at, n);
    if (h->nheaders == DT_HTTP_HEADERS_MAX)
        return -1;
    h->headers[h->nheaders++] = (struct dt_http_header){dt_str(at, n), dt_str(at + n, 0)};
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct dt_http1_head *h = ((struct dt_http1 *)p->data)->head;
    if (h == NULL)
        return on_overhead(p, at, n);
    if (h->nheaders == 0)
        return -1;
    h->headers[h->nheaders - 1].value = dt_str_trim(dt_str(at, n));
    return 0;
}

static int on_head(llhttp_t *p)
{
    (void)p;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct dt_http1 *x = p->data;
    return n == 0 || x->on_body(x->ctx, at, n) ? 0
                                               : HPE_PAUSED; /* an open span ends with 0 bytes */
}

static int on_complete(llhttp_t *p)
{
    ((struct dt_http1 *)p->data)->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_target,
    .on_status = on_reason,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_chunk_extension_name = on_overhead,
    .on_chunk_extension_value = on_overhead,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* --- heads --- */

/* What decides where the message ends, and what the other end wants of the connection. */
struct framing {
    unsigned lengths;
    unsigned codings;
    unsigned hosts;
    bool close;
    bool keep;
    bool upgrade_token;
    bool upgrade;
};

static int take_header(struct framing *f, struct dt_http1_head *h, const struct dt_http_header *x,
                       struct dt_err *err)
{
    unsigned long long length;
    switch (x->name.n) {
    case 4:
        if (dt_str_eq_nocase(x->name, DT_STR("host"))) {
            f->hosts++;
            h->host = x->value;
        }
        break;
    case 6:
        if (dt_str_eq_nocase(x->name, DT_STR("expect")))
            h->expect = dt_str_eq_nocase(x->value, DT_STR("100-continue"));
        break;
    case 7:
        f->upgrade |= dt_str_eq_nocase(x->name, DT_STR("upgrade"));
        break;
    case 10:
        if (dt_str_eq_nocase(x->name, DT_STR("connection"))) {
            f->close |= dt_http1_has_token(x->value, "close");
            f->keep |= dt_http1_has_token(x->value, "keep-alive");
            f->upgrade_token |= dt_http1_has_token(x->value, "upgrade");
        }
        break;
    case 14:
        if (dt_str_eq_nocase(x->name, DT_STR("content-length"))) {
            if (dt_str_u64(x->value, INT64_MAX, &length) < 0)
                return bad(err, "Content-Length is not a number");
            f->lengths++;
            h->length = length;
        }
        break;
    case 17:
        if (dt_str_eq_nocase(x->name, DT_STR("transfer-encoding"))) {
            if (!dt_str_eq_nocase(x->value, DT_STR("chunked")))
                return bad(err, "only `Transfer-Encoding: chunked` is understood");
            f->codings++;
            h->chunked = true;
        }
        break;
    default:
        break;
    }
    return 0;
}

static int take_headers(struct dt_http1_head *h, struct framing *f, struct dt_err *err)
{
    h->length = 0;
    for (size_t i = 0; i < h->nheaders; i++) {
        if (take_header(f, h, &h->headers[i], err) < 0)
            return -1;
    }
    if (f->lengths > 1)
        return bad(err, "more than one Content-Length");
    if (f->codings > 1)
        return bad(err, "more than one Transfer-Encoding");
    if (f->lengths > 0 && f->codings > 0)
        return bad(err, "both Content-Length and Transfer-Encoding");
    if (h->chunked && h->minor == 0)
        return bad(err, "Transfer-Encoding in HTTP/1.0");
    if (h->chunked)
        h->length = UINT64_MAX;
    h->keep_alive = !f->close && (h->minor > 0 || f->keep);
    h->upgrade = f->upgrade && f->upgrade_token && h->minor > 0;
    return 0;
}

static int parse_head(struct dt_http1 *x, llhttp_type_t type, char *p, size_t n,
                      struct dt_http_header *headers, struct dt_http1_head *h, struct dt_err *err)
{
    *h = (struct dt_http1_head){.headers = headers};
    llhttp_init(&x->parser, type, &settings);
    x->parser.data = x;
    x->head = h;
    x->overhead = 0;
    x->complete = false;
    x->no_body = false;
    llhttp_errno_t e = llhttp_execute(&x->parser, p, n);
    x->head = NULL;
    if (e == HPE_USER && h->nheaders == DT_HTTP_HEADERS_MAX)
        return too_large(err);
    if (e != HPE_PAUSED || llhttp_get_error_pos(&x->parser) != p + n) {
        const char *why = e == HPE_OK || e == HPE_PAUSED ? "malformed" : x->parser.reason;
        return dt_err_set(err, DT_E_BAD_REQUEST, "%s", why != NULL ? why : "malformed");
    }
    if (x->parser.http_major != 1)
        return bad(err, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    h->minor = x->parser.http_minor;
    x->parser.upgrade = 0; /* whether it is one is not for the parser to decide */
    return 0;
}

/* `http://authority/path` becomes `/path`; the authority wins over Host. */
static int reduce_target(struct dt_http1_head *h, char *base, struct dt_err *err)
{
    struct dt_str t = h->target;
    size_t skip = 7;
    if (t.n < skip || !dt_str_eq_nocase(dt_str(t.p, skip), DT_STR("http://"))) {
        skip = 8;
        if (t.n < skip || !dt_str_eq_nocase(dt_str(t.p, skip), DT_STR("https://")))
            return bad(err, "the target must begin with `/`");
    }
    char *rest = base + (t.p - base) + skip;
    size_t left = t.n - skip;
    size_t n = 0;
    while (n < left && rest[n] != '/' && rest[n] != '?')
        n++;
    if (n == 0)
        return bad(err, "the target has no host");
    if (n < left && rest[n] == '?') { /* make room for the `/` that stands for an empty path */
        memmove(rest - 1, rest, n);
        rest[n - 1] = '/';
        h->host = dt_str(rest - 1, n);
        h->target = dt_str(rest + n - 1, left - n + 1);
    } else {
        h->host = dt_str(rest, n);
        h->target = n < left ? dt_str(rest + n, left - n) : DT_STR("/");
    }
    return 0;
}

static int check_target(struct dt_http1 *x, struct dt_http1_head *h, char *base, struct dt_err *err)
{
    struct dt_str t = h->target;
    if (memchr(t.p, '#', t.n) != NULL)
        return bad(err, "the target holds a fragment");
    if (t.p[0] == '/')
        return 0;
    if (x->parser.method == HTTP_CONNECT)
        return is_authority(t) ? 0 : bad(err, "the target of CONNECT must be host:port");
    if (x->parser.method == HTTP_OPTIONS && t.n == 1 && t.p[0] == '*')
        return 0;
    return reduce_target(h, base, err);
}

/* llhttp speaks RTSP and ICE as well. */
static bool is_http(const char *p, size_t n)
{
    const char *end = memchr(p, '\r', n);
    return end != NULL && end - p > 9 && memcmp(end - 9, " HTTP/1.", 8) == 0;
}

int dt_http1_request(struct dt_http1 *x, char *p, size_t n, struct dt_http_header *headers,
                     struct dt_http1_head *ret, struct dt_err *err)
{
    struct framing f = {0};
    if (parse_head(x, HTTP_REQUEST, p, n, headers, ret, err) < 0)
        return -1;
    if (!is_http(p, n) || ret->target.n == 0)
        return bad(err, "this is no HTTP/1 request");
    const char *space = memchr(p, ' ', n);
    ret->method = dt_str(p, (size_t)(space - p));
    if (take_headers(ret, &f, err) < 0)
        return -1;
    if (f.hosts > 1 || (f.hosts == 0 && ret->minor > 0))
        return bad(err, "an HTTP/1.1 request needs exactly one Host header");
    if (check_target(x, ret, p, err) < 0)
        return -1;
    if (!is_authority(ret->host))
        return bad(err, "the host holds characters that no host has");
    ret->expect &= ret->minor > 0 && ret->length > 0;
    return 0;
}

int dt_http1_answer(struct dt_http1 *x, char *p, size_t n, bool to_head,
                    struct dt_http_header *headers, struct dt_http1_head *ret, struct dt_err *err)
{
    struct framing f = {0};
    if (parse_head(x, HTTP_RESPONSE, p, n, headers, ret, err) < 0)
        return -1;
    ret->status = x->parser.status_code;
    if (ret->status < 100 || ret->status > 999 || memcmp(p, "HTTP/", 5) != 0)
        return bad(err, "this is no HTTP/1 answer");
    if (take_headers(ret, &f, err) < 0)
        return -1;
    x->no_body = to_head || ret->status < 200 || ret->status == 204 || ret->status == 304;
    if (x->no_body)
        x->parser.flags |= F_SKIPBODY;
    if (f.lengths == 0 && !ret->chunked && !x->no_body) {
        ret->length = UINT64_MAX;
        ret->keep_alive = false; /* the end of the stream ends the body */
    } else if (f.lengths == 0 && to_head) {
        ret->length = UINT64_MAX;
    }
    return 0;
}

/* --- bodies --- */

ssize_t dt_http1_body(struct dt_http1 *x, const char *p, size_t n, struct dt_err *err)
{
    if (x->complete)
        return 0;
    llhttp_resume(&x->parser);
    llhttp_errno_t e = llhttp_execute(&x->parser, p, n);
    if (e == HPE_OK)
        return (ssize_t)n;
    if (e == HPE_PAUSED)
        return llhttp_get_error_pos(&x->parser) - p;
    if (e == HPE_USER)
        return bad(err, "too many chunk extensions or trailers");
    return dt_err_set(err, DT_E_BAD_REQUEST, "%s",
                      x->parser.reason != NULL ? x->parser.reason : "malformed body");
}

bool dt_http1_ended(struct dt_http1 *x)
{
    llhttp_resume(&x->parser);
    if (!x->complete && llhttp_finish(&x->parser) == HPE_OK)
        return x->complete;
    return x->complete;
}
