#include "toolbox/clone_url.h"

#include <stdio.h>

enum { URL_MAX = 8192 };

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *decode(const char *p, size_t n)
{
    char *out = malloc(n + 1);
    size_t len = 0;
    for (size_t i = 0; out != NULL && i < n; i++) {
        int hi = p[i] == '%' && i + 2 < n ? hex(p[i + 1]) : -1;
        int lo = hi >= 0 ? hex(p[i + 2]) : -1;
        if (lo < 0) {
            out[len++] = p[i];
            continue;
        }
        out[len++] = (char)(hi * 16 + lo);
        i += 2;
    }
    if (out != NULL)
        out[len] = '\0';
    return out;
}

static int no_memory(struct dt_err *err)
{
    return dt_err_set(err, DT_E_NOMEM, "git url");
}

static int split_http(const char *url, size_t scheme, struct dt_clone_url *u, struct dt_err *err)
{
    const char *host = url + scheme;
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority);
    if (at != NULL) {
        size_t n = (size_t)(at - host);
        const char *colon = memchr(host, ':', n);
        u->username = decode(host, colon != NULL ? (size_t)(colon - host) : n);
        u->password = colon != NULL ? decode(colon + 1, (size_t)(at - colon) - 1) : NULL;
        authority -= n + 1;
        host = at + 1;
    }
    if (authority == 0)
        return dt_err_set(err, DT_E_INVALID, "url has no host");
    size_t size = scheme + strlen(host) + 1;
    u->clean = malloc(size);
    u->site = malloc(scheme + authority + 1);
    if (u->clean == NULL || u->site == NULL)
        return no_memory(err);
    (void)snprintf(u->clean, size, "%.*s%s", (int)scheme, url, host);
    (void)snprintf(u->site, scheme + authority + 1, "%s", u->clean);
    return 0;
}

static int split(const char *url, struct dt_clone_url *u, struct dt_err *err)
{
    static const char *const others[] = {"ssh://", "git://", "file://"};
    if (strncmp(url, "http://", 7) == 0)
        return split_http(url, 7, u, err);
    if (strncmp(url, "https://", 8) == 0)
        return split_http(url, 8, u, err);
    bool plain = url[0] == '/';
    for (size_t i = 0; i < 3; i++)
        plain = plain || strncmp(url, others[i], strlen(others[i])) == 0;
    if (!plain && strstr(url, "://") != NULL)
        return dt_err_set(err, DT_E_INVALID, "url must begin with https, http, ssh, git or file");
    if (!plain && strstr(url, "::") != NULL)
        return dt_err_set(err, DT_E_INVALID, "url names a git remote helper, which is not allowed");
    const char *colon = strchr(url, ':'), *slash = strchr(url, '/');
    if (plain || (colon != NULL && (slash == NULL || colon < slash) && strchr(url, '@') != NULL)) {
        u->clean = strdup(url);
        return u->clean == NULL ? no_memory(err) : 0;
    }
    if (slash == NULL)
        return dt_err_set(err, DT_E_INVALID,
                          "url must be a whole address, as "
                          "https://example.com/owner/repository.git");
    char whole[URL_MAX + 16];
    (void)snprintf(whole, sizeof(whole), "https://%s", url);
    return split_http(whole, 8, u, err);
}

int dt_clone_url_parse(const char *url, struct dt_clone_url *out, struct dt_err *err)
{
    *out = (struct dt_clone_url){.clean = NULL};
    if (url[0] == '-' || url[0] == '\0' || strlen(url) > URL_MAX)
        return dt_err_set(err, DT_E_INVALID, "url must be 1 to %d characters and not begin with -",
                          URL_MAX);
    for (const char *c = url; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return dt_err_set(err, DT_E_INVALID, "url must not hold blanks or control characters");
    }
    if (split(url, out, err) == 0)
        return 0;
    dt_clone_url_done(out);
    return -1;
}

void dt_clone_url_done(struct dt_clone_url *u)
{
    free(u->clean);
    free(u->username);
    if (u->password != NULL)
        explicit_bzero(u->password, strlen(u->password));
    free(u->password);
    free(u->site);
    *u = (struct dt_clone_url){.clean = NULL};
}

int dt_clone_url_redact(struct dt_buf *text, const char *secret, struct dt_err *err)
{
    size_t n = secret != NULL ? strlen(secret) : 0;
    if (n == 0 || text->n == 0)
        return 0;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, text->max + 4 * text->n);
    const char *at = text->p, *end = text->p + text->n, *hit;
    while ((hit = memmem(at, (size_t)(end - at), secret, n)) != NULL) {
        if (dt_buf_add(&out, at, (size_t)(hit - at), err) < 0 || dt_buf_addz(&out, "***", err) < 0)
            return -1;
        at = hit + n;
    }
    if (dt_buf_add(&out, at, (size_t)(end - at), err) < 0)
        return -1;
    dt_buf_done(text);
    *text = out;
    out = (struct dt_buf){.max = 0};
    return 0;
}
