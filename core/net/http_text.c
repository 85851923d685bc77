#include "net/http_server.h"

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *dt_http_reason(int status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status)
            return reasons[i].reason;
    }
    return "Unknown";
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte at *i, which moves to its last character; -1 when the escape is bad. */
static int decode_at(struct dt_str s, size_t *i, bool plus)
{
    char c = s.p[*i];
    if (c == '+' && plus)
        return ' ';
    if (c != '%')
        return (unsigned char)c;
    if (s.n - *i < 3)
        return -1;
    int high = hex_digit(s.p[*i + 1]);
    int low = hex_digit(s.p[*i + 2]);
    *i += 2;
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Undoes what was appended before the failure. */
static int undo(struct dt_buf *out, size_t before)
{
    out->n = before;
    if (out->p != NULL)
        out->p[before] = '\0';
    return -1;
}

static int decode(struct dt_str s, bool plus, struct dt_buf *out, struct dt_err *err)
{
    size_t before = out->n;
    for (size_t i = 0; i < s.n; i++) {
        int c = decode_at(s, &i, plus);
        char byte = (char)c;
        if (c <= 0) {
            (void)dt_err_set(err, DT_E_INVALID,
                             c < 0 ? "a `%%` must be followed by two hexadecimal digits"
                                   : "an escaped NUL is not allowed");
            return undo(out, before);
        }
        if (dt_buf_add(out, &byte, 1, err) < 0)
            return undo(out, before);
    }
    return 0;
}

int dt_http_decode(struct dt_str s, struct dt_buf *out, struct dt_err *err)
{
    return decode(s, false, out, err);
}

static bool name_is(struct dt_str encoded, const char *name)
{
    size_t n = strlen(name);
    size_t at = 0;
    for (size_t i = 0; i < encoded.n; i++, at++) {
        int c = decode_at(encoded, &i, true);
        if (at >= n || c != (unsigned char)name[at])
            return false;
    }
    return at == n;
}

int dt_http_query_get(struct dt_str query, const char *name, struct dt_buf *out, struct dt_err *err)
{
    struct dt_str pair;
    while (dt_str_cut(&query, '&', &pair)) {
        struct dt_str value = pair;
        struct dt_str key = {NULL, 0};
        if (!dt_str_cut(&value, '=', &key) || !name_is(key, name))
            continue;
        return decode(value, true, out, err) < 0 ? dt_err_wrap(err, "query parameter '%s'", name)
                                                 : 1;
    }
    return 0;
}

static bool is_unreserved(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

int dt_http_encode(struct dt_str s, struct dt_buf *out, struct dt_err *err)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t before = out->n;
    for (size_t i = 0; i < s.n;) {
        size_t from = i;
        while (i < s.n && is_unreserved((unsigned char)s.p[i]))
            i++;
        if (dt_buf_add(out, s.p + from, i - from, err) < 0)
            return undo(out, before);
        if (i == s.n)
            break;
        unsigned char c = (unsigned char)s.p[i++];
        char text[3] = {'%', digits[c >> 4], digits[c & 15]};
        if (dt_buf_add(out, text, 3, err) < 0)
            return undo(out, before);
    }
    return 0;
}
