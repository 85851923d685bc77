#include "mcp/giturl.h"

#include "net/http_server.h" /* percent encoding */

enum { URL_MAX = 8192 };

void dt_giturl_done(struct dt_giturl *u)
{
    free(u->clean);
    free(u->folder);
    free(u->username);
    free(u->password);
    *u = (struct dt_giturl){0};
}

static char *decode(struct dt_str s)
{
    DT_AUTO_BUF struct dt_buf out;
    struct dt_err err;
    dt_buf_init(&out, URL_MAX);
    if (dt_http_decode(s, &out, &err) < 0) {
        dt_buf_clear(&out);
        if (dt_buf_adds(&out, s, &err) < 0)
            return NULL;
    }
    return dt_buf_take(&out);
}

/* The last part of the path, as git does it: without slashes and `.git` at its end. */
static char *folder_of(struct dt_str s)
{
    while (s.n > 0 && s.p[s.n - 1] == '/')
        s.n--;
    if (s.n > 5 && memcmp(s.p + s.n - 5, "/.git", 5) == 0)
        s.n -= 5;
    else if (s.n > 4 && memcmp(s.p + s.n - 4, ".git", 4) == 0)
        s.n -= 4;
    size_t from = s.n;
    while (from > 0 && s.p[from - 1] != '/' && s.p[from - 1] != ':')
        from--;
    struct dt_str name = dt_str(s.p + from, s.n - from);
    bool usable = name.n > 0 && name.p[0] != '-' && !dt_str_eq(name, DT_STR(".")) &&
                  !dt_str_eq(name, DT_STR(".."));
    return usable ? strndup(name.p, name.n) : strdup("repository");
}

/* `user:password@` of an http URL; ssh keeps its user name, which is part of the address. */
static size_t take_credentials(struct dt_str authority, struct dt_giturl *u)
{
    const char *at = authority.n > 0 ? memrchr(authority.p, '@', authority.n) : NULL;
    if (at == NULL)
        return 0;
    struct dt_str info = dt_str(authority.p, (size_t)(at - authority.p));
    struct dt_str user;
    (void)dt_str_cut(&info, ':', &user);
    u->username = decode(user);
    if (info.p != NULL)
        u->password = decode(info);
    return (size_t)(at - authority.p) + 1;
}

static int parse(struct dt_str s, struct dt_giturl *u, struct dt_err *err)
{
    static const char *const schemes[] = {"https://", "http://", "ssh://", "git://", "file://"};
    size_t scheme = 0;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && scheme == 0; i++) {
        struct dt_str word = dt_str_z(schemes[i]);
        if (s.n > word.n && dt_str_eq_nocase(dt_str(s.p, word.n), word))
            scheme = word.n;
    }
    bool other = s.n == 0 || s.p[0] == '-' || strstr(s.p, "::") != NULL ||
                 (scheme == 0 && strstr(s.p, "://") != NULL);
    if (other || s.n > URL_MAX || strpbrk(s.p, "\r\n") != NULL)
        return dt_err_set(err, DT_E_INVALID,
                          "url must be an http, https, ssh or file URL of a repository");
    size_t host = strcspn(s.p + scheme, "/?#");
    size_t skip = scheme > 4 && dt_str_eq_nocase(dt_str(s.p, 4), DT_STR("http"))
                      ? take_credentials(dt_str(s.p + scheme, host), u)
                      : 0;
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, URL_MAX);
    if (dt_buf_add(&clean, s.p, scheme, err) < 0 ||
        dt_buf_add(&clean, s.p + scheme + skip, s.n - scheme - skip, err) < 0)
        return -1;
    u->folder = folder_of(dt_str(s.p + scheme + skip, s.n - scheme - skip));
    u->clean = dt_buf_take(&clean);
    return u->folder != NULL && u->clean != NULL ? 0 : dt_err_set(err, DT_E_NOMEM, "url");
}

int dt_giturl_parse(const char *url, struct dt_giturl *ret, struct dt_err *err)
{
    struct dt_giturl u = {0};
    if (parse(dt_str_z(url), &u, err) < 0) {
        dt_giturl_done(&u);
        return -1;
    }
    *ret = u;
    return 0;
}
