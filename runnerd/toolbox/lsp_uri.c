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

char *dt_lsp_uri_path(const struct dt_guest *g, const char *uri, struct dt_err *err)
{
    const struct dt_str scheme = DT_STR("file://");
    struct dt_str text = dt_str_z(uri);
    if (dt_str_starts(text, scheme))
        text = dt_str(text.p + scheme.n, text.n - scheme.n);
    else if (strstr(uri, "://") != NULL) {
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
