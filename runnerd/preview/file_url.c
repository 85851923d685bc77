#include "runnerd/preview/file_url.h"

#include "base/clock.h"

enum { PATH_BYTES_MAX = 4096, SIGNATURE_MAX = 64, EXPIRES_MAX = 20 };

/* The method that is signed for a path, or NULL: no such URL can be signed. */
static const char *signed_method(struct dt_http_req *req, struct dt_str path)
{
    struct dt_str method = dt_http_req_method(req);
    bool reads = dt_str_eq(method, DT_STR("GET")) || dt_str_eq(method, DT_STR("HEAD"));
    if (reads && dt_str_eq(path, DT_STR("/files/download")))
        return "GET";
    if (dt_str_eq(method, DT_STR("POST")) && dt_str_eq(path, DT_STR("/files/upload-v2")))
        return "POST";
    return NULL;
}

bool dt_file_url_is_signed(const struct dt_preview_ask *ask, struct dt_str path)
{
    DT_AUTO_BUF struct dt_buf value;
    dt_buf_init(&value, SIGNATURE_MAX);
    return ask->toolbox && signed_method(ask->req, path) != NULL &&
           dt_http_query_get(ask->query, "signature", &value, NULL) != 0;
}

static int check_time(struct dt_str expires, struct dt_err *err)
{
    unsigned long long until;
    int64_t now = dt_clock_real_ms() / 1000;
    if (dt_str_u64(expires, 1ull << 53, &until) < 0)
        return dt_err_set(err, DT_E_UNAUTHORIZED,
                          "unauthorized: `expires` of this link must be seconds since 1970, or 0");
    if (until != 0 && (int64_t)until <= now)
        return dt_err_set(err, DT_E_UNAUTHORIZED,
                          "unauthorized: this link ended %lld seconds ago: make a new one",
                          (long long)(now - (int64_t)until));
    return 0;
}

int dt_file_url_open(const struct dt_preview_ask *ask, struct dt_str path, struct dt_buf *room,
                     struct dt_str *target, struct dt_err *err)
{
    char key[DT_FILE_KEY_SIZE];
    const char *method = signed_method(ask->req, path);
    DT_AUTO_BUF struct dt_buf file, expires, signature;
    dt_buf_init(&file, PATH_BYTES_MAX);
    dt_buf_init(&expires, EXPIRES_MAX);
    dt_buf_init(&signature, SIGNATURE_MAX);
    dt_file_key(ask->rd->secret, ask->sandbox->id, ask->sandbox->signing_epoch, key);
    if (method == NULL || dt_http_query_get(ask->query, "path", &file, NULL) <= 0 ||
        dt_http_query_get(ask->query, "expires", &expires, NULL) <= 0 ||
        dt_http_query_get(ask->query, "signature", &signature, NULL) <= 0 ||
        !dt_file_signature_fits(key, method, dt_buf_str(&file), dt_buf_str(&expires),
                                dt_buf_str(&signature)))
        return dt_err_set(err, DT_E_UNAUTHORIZED,
                          "unauthorized: the signature of this link does not fit its method, path "
                          "and end, or the sandbox's signing key was changed: make a new one");
    if (check_time(dt_buf_str(&expires), err) < 0)
        return -1;
    /* Nothing but what was signed goes on, and it cannot be read in two ways. */
    dt_buf_clear(room);
    if (dt_buf_adds(room, path, err) < 0 || dt_buf_addz(room, "?path=", err) < 0 ||
        dt_http_encode(dt_buf_str(&file), room, err) < 0)
        return -1;
    *target = dt_buf_str(room);
    return 0;
}
