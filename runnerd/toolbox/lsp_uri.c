#include "toolbox/lsp_uri.h"

#include <limits.h>

#include "net/http_server.h"

void dt_lsp_path_clean(char *path)
{
    size_t n = 0;
    struct dt_str rest = dt_str_z(path), part;
    while (dt_str_cut(&rest, '/', &part)) {
        if (part.n == 0 || dt_str_eq(part, DT_STR(".")))
            continue;
        if (dt_str_eq(part, DT_STR(".."))) {
            while (n > 0 && path[--n] != '/') {
            }
            continue;
        }
        path[n++] = '/'; /* never overtakes what is still to be read */
        memmove(path + n, part.p, part.n);
        n += part.n;
    }
    if (n == 0)
        path[n++] = '/';
    path[n] = '\0';
}

static char *decoded_path(const struct dt_guest *g, struct dt_str text)
{
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf plain;
    dt_buf_init(&plain, PATH_MAX);
    if (memchr(text.p, '%', text.n) == NULL || dt_http_decode(text, &plain, &err) < 0)
        return NULL;
    return dt_guest_path(g, dt_buf_str(&plain), &err);
}

static struct dt_str behind_scheme(const char *uri)
{
    const struct dt_str scheme = DT_STR("file://"), text = dt_str_z(uri);
    return dt_str_starts(text, scheme) ? dt_str(text.p + scheme.n, text.n - scheme.n) : text;
}

char *dt_lsp_uri_path(const struct dt_guest *g, const char *uri, struct dt_err *err)
{
    struct dt_str text = behind_scheme(uri);
    if (text.p == uri && strstr(uri, "://") != NULL) {
        (void)dt_err_set(err, DT_E_INVALID_FILE_PATH, "uri must begin with file://");
        return NULL;
    }
    char *path = dt_guest_path(g, text, err);
    if (path == NULL)
        return NULL;
    if (access(path, F_OK) < 0) {
        char *other = decoded_path(g, text);
        if (other != NULL) {
            free(path);
            path = other;
        }
    }
    dt_lsp_path_clean(path);
    return path;
}

char *dt_lsp_document_path(const struct dt_guest *g, const char *project, const char *uri,
                           struct dt_err *err)
{
    struct dt_err why;
    DT_AUTO_FREE char *path = dt_lsp_uri_path(g, uri, err);
    struct dt_str text = behind_scheme(uri);
    if (path == NULL || dt_str_starts(text, DT_STR("/")) || access(path, F_OK) == 0)
        return dt_take(path);
    DT_AUTO_BUF struct dt_buf inside;
    dt_buf_init(&inside, (size_t)2 * PATH_MAX);
    if (dt_buf_addz(&inside, project, NULL) < 0 || dt_buf_addz(&inside, "/", NULL) < 0 ||
        dt_buf_adds(&inside, text, NULL) < 0)
        return dt_take(path);
    DT_AUTO_FREE char *other = dt_lsp_uri_path(g, inside.p, &why);
    return other != NULL && access(other, F_OK) == 0 ? dt_take(other) : dt_take(path);
}

char *dt_lsp_path_uri(const char *path)
{
    DT_AUTO_BUF struct dt_buf out;
    struct dt_str rest = dt_str_z(path), part;
    dt_buf_init(&out, sizeof("file://") + (size_t)3 * PATH_MAX);
    if (dt_buf_addz(&out, "file://", NULL) < 0 || !dt_str_cut(&rest, '/', &part))
        return NULL;
    while (dt_str_cut(&rest, '/', &part)) {
        if (dt_buf_addz(&out, "/", NULL) < 0 || dt_http_encode(part, &out, NULL) < 0)
            return NULL;
    }
    return dt_buf_take(&out);
}
