#include "model/name.h"

#include "base/utf8.h"
#include "model/ip.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool has_control(struct dt_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        /* U+0080..U+009F are C2 80..C2 9F */
        bool c1 = c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0;
        if (c < 0x20 || c == 0x7f || c1)
            return true;
    }
    return false;
}

static bool has(struct dt_str s, struct dt_str what)
{
    return s.n >= what.n && memmem(s.p, s.n, what.p, what.n) != NULL;
}

static bool has_tag_or_url(struct dt_str s)
{
    for (size_t i = 0; i + 1 < s.n; i++) {
        char next = s.p[i + 1];
        if (s.p[i] == '<' && (is_letter(next) || next == '/' || next == '!' || next == '?'))
            return true;
    }
    return has(s, DT_STR("://"));
}

int dt_name_check(struct dt_str name, struct dt_err *err)
{
    if (dt_str_trim(name).n == 0)
        return dt_err_set(err, DT_E_BAD_REQUEST, "name should not be empty");
    if (name.n > DT_NAME_MAX)
        return dt_err_set(err, DT_E_BAD_REQUEST, "name must be at most %d bytes", DT_NAME_MAX);
    if (!dt_utf8_valid(name))
        return dt_err_set(err, DT_E_BAD_REQUEST, "name must be valid UTF-8");
    if (has_control(name) || has_tag_or_url(name))
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "name must not contain HTML tags, URLs, or control characters");
    return 0;
}

int dt_snapshot_name_check(struct dt_str name, struct dt_err *err)
{
    struct dt_str rest = name, piece;
    bool good = name.n > 0 && name.n <= DT_NAME_MAX;
    while (good && dt_str_cut(&rest, '/', &piece)) {
        good = piece.n > 0;
        for (size_t i = 0; good && i < piece.n; i++) {
            char c = piece.p[i];
            good = is_letter(c) || is_digit(c) || (c != '\0' && strchr("_.-:", c) != NULL);
        }
    }
    if (!good)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Invalid snapshot name format. May contain letters, digits, dots, "
                          "colons, and dashes");
    return 0;
}

int dt_user_check(struct dt_str user, struct dt_err *err)
{
    bool good = user.n > 0 && user.n <= 64 && user.p[0] != '-' && user.p[0] != ':';
    size_t colons = 0;
    for (size_t i = 0; good && i < user.n; i++) {
        char c = user.p[i];
        colons += c == ':';
        good = is_letter(c) || is_digit(c) || (c != '\0' && strchr("_.-:@$", c) != NULL);
    }
    if (!good || colons > 1)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "user must be a name or a number, optionally with :group (letters, "
                          "digits and _ . - @ $)");
    return 0;
}

int dt_env_name_check(struct dt_str name, struct dt_err *err)
{
    if (name.n == 0 || name.n > DT_NAME_MAX || has_control(name) ||
        memchr(name.p, '=', name.n) != NULL)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "env: a variable's name must have 1 to %d bytes and neither '=' nor "
                          "control characters",
                          DT_NAME_MAX);
    return 0;
}

static bool is_email_local(struct dt_str s)
{
    if (s.n == 0 || s.n > 64 || s.p[0] == '.' || s.p[s.n - 1] == '.' || has(s, DT_STR("..")))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!is_letter(c) && !is_digit(c) && (c == '\0' || !strchr("!#$%&'*+-/=?^_`{|}~.", c)))
            return false;
    }
    return true;
}

static bool is_domain(struct dt_str s)
{
    struct dt_str label;
    if (s.n == 0)
        return false;
    while (dt_str_cut(&s, '.', &label)) {
        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++) {
            if (!is_letter(label.p[i]) && !is_digit(label.p[i]) && label.p[i] != '-')
                return false;
        }
    }
    return true;
}

int dt_email_check(struct dt_str email, struct dt_err *err)
{
    struct dt_str rest = email, local;
    if (email.n <= 254 && dt_str_cut(&rest, '@', &local) && rest.p != NULL &&
        is_email_local(local) && is_domain(rest))
        return 0;
    return dt_err_set(err, DT_E_BAD_REQUEST, "email must be an email");
}

int dt_user_id_check(struct dt_str id, struct dt_err *err)
{
    if (id.n > 0 && id.n <= 255 && dt_utf8_valid(id) && !has_control(id))
        return 0;
    return dt_err_set(err, DT_E_BAD_REQUEST,
                      "a user's id must be 1 to 255 bytes without control characters");
}

static bool is_host(struct dt_str host)
{
    bool good = host.n > 0 && host.n <= 253 && host.p[0] != '.' && host.p[0] != '-';
    for (size_t i = 0; good && i < host.n; i++) {
        char c = host.p[i];
        bool dots = c == '.' && i + 1 < host.n && host.p[i + 1] == '.';
        good = !dots && (is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_');
    }
    return good;
}

/* `host`, `host:port`, `[2001:db8::1]:port` */
static bool is_authority(struct dt_str s)
{
    unsigned long long port;
    struct dt_str host = s;
    if (s.n > 0 && s.p[0] == '[') {
        const char *end = memchr(s.p, ']', s.n);
        struct dt_ip ip;
        size_t n = end != NULL ? (size_t)(end - s.p) + 1 : s.n;
        if (end == NULL || dt_ip_parse(dt_str(s.p, n), &ip) < 0)
            return false;
        host = DT_STR("v6");
        s = dt_str(s.p + n, s.n - n);
    } else {
        const char *colon = s.n > 0 ? memchr(s.p, ':', s.n) : NULL;
        size_t n = colon != NULL ? (size_t)(colon - s.p) : s.n;
        host = dt_str(s.p, n);
        s = dt_str(s.p + n, s.n - n);
    }
    if (!is_host(host))
        return false;
    return s.n == 0 || (s.p[0] == ':' && dt_str_u64(dt_str(s.p + 1, s.n - 1), 65535, &port) == 0);
}

int dt_url_check(struct dt_str url, struct dt_err *err)
{
    struct dt_str rest = url, authority;
    for (size_t n = 7; n <= 8; n++) {
        if (dt_str_starts(url, dt_str(n == 7 ? "http://" : "https://", n)))
            rest = dt_str(url.p + n, url.n - n);
    }
    bool good = url.n <= 1024 && dt_str_cut(&rest, '/', &authority) && is_authority(authority);
    for (size_t i = 0; good && i < rest.n; i++)
        good = rest.p[i] > ' ' && rest.p[i] < 0x7f && strchr("?#\\<>\"{}|^`@", rest.p[i]) == NULL;
    return good ? 0
                : dt_err_set(err, DT_E_BAD_REQUEST,
                             "url must be a URL address such as https://registry.example.com");
}
