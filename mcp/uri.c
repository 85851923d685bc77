#include "mcp/uri.h"

#include <string.h>

#include "net/http_server.h" /* percent encoding */

enum { PATH_TEXT_MAX = 16 * 1024 };

void dt_uri_done(struct dt_uri *u)
{
    free(u->id);
    free(u->path);
    *u = (struct dt_uri){0};
}

static int decode(struct dt_str s, const char *before, char **ret, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, PATH_TEXT_MAX);
    if (dt_buf_addz(&out, before, err) < 0 || dt_http_decode(s, &out, err) < 0)
        return -1;
    if (memchr(out.p, '\0', out.n) != NULL)
        return dt_err_set(err, DT_E_INVALID, "a NUL in it");
    *ret = dt_buf_take(&out);
    return *ret != NULL ? 0 : dt_err_set(err, DT_E_NOMEM, "uri");
}

static int parse_number(struct dt_str s, const char *name, unsigned long long least,
                        unsigned long long most, uint64_t *ret, struct dt_err *err)
{
    unsigned long long v;
    if (dt_str_u64(s, most, &v) < 0 || v < least)
        return dt_err_set(err, DT_E_INVALID, "%s must be a number from %llu to %llu", name, least,
                          most);
    *ret = v;
    return 0;
}

static int parse_query(struct dt_str query, struct dt_uri *u, struct dt_err *err)
{
    struct dt_str pair;
    while (dt_str_cut(&query, '&', &pair)) {
        int ret = 0;
        if (dt_str_starts(pair, DT_STR("offset=")))
            ret = parse_number(dt_str(pair.p + 7, pair.n - 7), "offset", 0, INT64_MAX, &u->offset,
                               err);
        else if (dt_str_starts(pair, DT_STR("length=")))
            ret = parse_number(dt_str(pair.p + 7, pair.n - 7), "length", 1, DT_URI_PAGE_MAX,
                               &u->length, err);
        else if (pair.n > 0)
            ret = dt_err_set(err, DT_E_INVALID, "only offset and length may follow the '?'");
        if (ret < 0)
            return -1;
    }
    return 0;
}

static int parse(struct dt_str s, struct dt_uri *u, struct dt_err *err)
{
    if (!dt_str_starts(s, DT_STR("sandbox://")))
        return dt_err_set(err, DT_E_INVALID, "it does not begin with sandbox://");
    s = dt_str(s.p + 10, s.n - 10);
    const char *slash = s.n > 0 ? memchr(s.p, '/', s.n) : NULL;
    size_t n = slash != NULL ? (size_t)(slash - s.p) : s.n;
    struct dt_str path = slash != NULL ? dt_str(slash + 1, s.n - n - 1) : dt_str("", 0);
    const char *mark = path.n > 0 ? memchr(path.p, '?', path.n) : NULL;
    if (n == 0)
        return dt_err_set(err, DT_E_INVALID, "no sandbox id in it");
    if (mark != NULL) {
        if (parse_query(dt_str(mark + 1, (size_t)(path.p + path.n - mark - 1)), u, err) < 0)
            return -1;
        path.n = (size_t)(mark - path.p);
    }
    while (path.n > 0 && path.p[0] == '/')
        path = dt_str(path.p + 1, path.n - 1);
    if (decode(dt_str(s.p, n), "", &u->id, err) < 0)
        return -1;
    if (dt_str_starts(path, DT_STR("~/")))
        return decode(dt_str(path.p + 2, path.n - 2), "./", &u->path, err);
    return decode(path, "/", &u->path, err);
}

int dt_uri_parse(const char *text, struct dt_uri *ret, struct dt_err *err)
{
    struct dt_uri u = {.length = DT_URI_PAGE};
    if (parse(dt_str_z(text), &u, err) < 0) {
        dt_uri_done(&u);
        err->code = DT_E_INVALID;
        return dt_err_wrap(err, "the resource must look like " DT_URI_TEMPLATE);
    }
    *ret = u;
    return 0;
}

int dt_uri_print(struct dt_buf *out, const char *id, const char *path, struct dt_err *err)
{
    if (dt_buf_addz(out, "sandbox://", err) < 0 || dt_http_encode(dt_str_z(id), out, err) < 0)
        return -1;
    if (path[0] != '/' && dt_buf_addz(out, "/~", err) < 0)
        return -1;
    path += strspn(path, "/");
    struct dt_str rest = dt_str_z(path);
    struct dt_str piece;
    if (rest.n == 0)
        return dt_buf_addz(out, "/", err);
    while (dt_str_cut(&rest, '/', &piece)) {
        if (dt_buf_addz(out, "/", err) < 0 || dt_http_encode(piece, out, err) < 0)
            return -1;
    }
    return 0;
}
