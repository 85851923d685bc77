/* POST /files/upload-raw, /files/upload, /files/upload-v2 and /files/bulk-upload: bytes go from the
 * connection to the disk, whatever their number. */
#include <stdio.h>

#include "base/utf8.h"
#include "toolbox/files.h"
#include "toolbox/incoming.h"
#include "toolbox/multipart.h"
#include "toolbox/sdk.h"

enum { ERRORS_MAX = 100, PATHS_MAX = 10000, INDEX_MAX = 40, FIELD_MAX = 65536 };

/* --- one file as the body --- */

struct raw {
    struct dt_http_req *req;
    struct dt_incoming in;
    bool failed; /* the rest of the body is read and dropped, so that the client sees the answer */
    struct dt_err err;
};

static void raw_done(void *ctx, bool complete)
{
    struct raw *u = ctx;
    (void)complete;
    dt_incoming_done(&u->in);
    free(u);
}

static void raw_data(void *ctx, const char *p, size_t n)
{
    struct raw *u = ctx;
    if (!u->failed && dt_incoming_write(&u->in, p, n, &u->err) < 0) {
        u->failed = true;
        dt_incoming_done(&u->in);
    }
}

static json_t *raw_result(const char *path, uint64_t size)
{
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, FIELD_MAX);
    if (dt_utf8_repair(&clean, dt_str_z(path), NULL) < 0)
        return NULL;
    const struct dt_tb_upload_raw_result r = {.path = clean.p, .size = (int64_t)size};
    return dt_tb_upload_raw_result_print(&r);
}

static void raw_end(void *ctx)
{
    struct raw *u = ctx;
    DT_AUTO_FREE char *path = u->failed ? NULL : strdup(u->in.path);
    if (!u->failed)
        u->failed = dt_incoming_commit(&u->in, &u->err) < 0;
    if (u->failed) {
        struct dt_err err = u->err;
        dt_reply_error(u->req, &err);
        return;
    }
    dt_reply_json(u->req, 200, path != NULL ? raw_result(path, u->in.size) : NULL);
}

static int raw_begin(struct dt_toolbox *tb, struct raw *u, const struct dt_tb_upload_raw_query *q,
                     struct dt_err *err)
{
    mode_t mode = DT_INCOMING_MODE_KEEP;
    if (q->mode != NULL && q->mode[0] != '\0' && dt_files_mode(q->mode, 07777, &mode, err) < 0)
        return -1;
    DT_AUTO_FREE char *path = dt_guest_path(&tb->guest, q->path, err);
    return path == NULL ? -1 : dt_incoming_begin(&u->in, path, mode, q->overwrite, err);
}

void dt_op_files_upload_raw(struct dt_toolbox *tb, struct dt_http_req *req,
                            const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct dt_tb_upload_raw_query q;
    if (dt_tb_upload_raw_query_parse_query(dt_http_req_query(req), &q, &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    struct raw *u = calloc(1, sizeof(*u));
    if (u == NULL)
        (void)dt_err_set(&err, DT_E_NOMEM, "upload");
    int r = u == NULL ? -1 : raw_begin(tb, u, &q, &err);
    dt_tb_upload_raw_query_done(&q);
    if (u == NULL || r < 0) {
        free(u);
        dt_reply_error(req, &err);
        return;
    }
    u->req = req;
    dt_http_req_on_done(req, raw_done, u);
    dt_http_req_stream(req, raw_data, raw_end, u);
}

/* --- forms --- */

struct named {
    char index[INDEX_MAX];
    char *path;
};

struct form {
    struct dt_toolbox *tb;
    struct dt_http_req *req;
    struct dt_multipart parser;
    char *single; /* /files/upload, -v2: where the field `file` goes; NULL for bulk-upload */
    bool v2;
    bool broken; /* the form itself is bad; the rest is dropped */
    bool any;    /* a part came */
    bool found;  /* a file field came */

    struct named *paths;
    size_t npaths;
    char index[INDEX_MAX]; /* of the part that comes in */
    bool in_path, in_file;
    struct dt_buf field; /* a path that comes in */
    char *dest;          /* as the client wrote it */
    struct dt_incoming in;

    json_t *errors, *files;
};

static void form_error(struct form *f, const char *what, const char *text)
{
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, (size_t)3 * FIELD_MAX);
    DT_AUTO_BUF struct dt_buf line;
    dt_buf_init(&line, FIELD_MAX + 1024);
    if (json_array_size(f->errors) >= ERRORS_MAX ||
        dt_buf_addf(&line, NULL, "%s%s%s", what, what[0] != '\0' ? ": " : "", text) < 0 ||
        dt_utf8_repair(&clean, dt_buf_str(&line), NULL) < 0)
        return;
    (void)json_array_append_new(f->errors, json_stringn(clean.p, clean.n));
}

static void file_failed(struct form *f, const struct dt_err *err)
{
    form_error(f, f->dest != NULL ? f->dest : "", err->msg);
    dt_incoming_done(&f->in);
    f->in_file = false;
}

static char *path_of(const struct form *f, const char *index)
{
    for (size_t i = f->npaths; i > 0; i--) {
        if (strcmp(f->paths[i - 1].index, index) == 0)
            return f->paths[i - 1].path;
    }
    return NULL;
}

static void begin_file(struct form *f, const char *dest)
{
    struct dt_err err;
    f->found = true;
    f->in_file = true;
    free(f->dest);
    f->dest = strdup(dest);
    DT_AUTO_FREE char *path = dt_guest_path(&f->tb->guest, dt_str_z(dest), &err);
    if (path == NULL || dt_incoming_begin(&f->in, path, DT_INCOMING_MODE_KEEP, true, &err) < 0)
        file_failed(f, &err);
}

/* `files[INDEX].path` and `files[INDEX].file`; returns the suffix or NULL. */
static const char *split_name(const char *name, char index[INDEX_MAX])
{
    const char *end = strstr(name, "].");
    size_t skip = strlen("files[");
    if (end == NULL || strncmp(name, "files[", skip) != 0 || (size_t)(end - name) < skip ||
        (size_t)(end - name) - skip >= INDEX_MAX)
        return NULL;
    size_t n = (size_t)(end - name) - skip;
    memcpy(index, name + skip, n);
    index[n] = '\0';
    return end + 2;
}

static void bulk_part(struct form *f, const char *name)
{
    const char *suffix = split_name(name, f->index);
    if (suffix != NULL && strcmp(suffix, "path") == 0) {
        f->in_path = true;
        dt_buf_clear(&f->field);
    } else if (suffix != NULL && strcmp(suffix, "file") == 0) {
        const char *dest = path_of(f, f->index);
        char what[INDEX_MAX + 16];
        (void)snprintf(what, sizeof(what), "file[%s]", f->index);
        if (dest == NULL)
            form_error(f, what, "missing .path metadata");
        else if (dest[0] != '\0')
            begin_file(f, dest);
    }
}

static void on_part(void *ctx, const char *name, const char *filename)
{
    struct form *f = ctx;
    (void)filename;
    f->in_path = f->in_file = false;
    f->any = true;
    if (name == NULL)
        return;
    if (f->single == NULL)
        bulk_part(f, name);
    else if (strcmp(name, "file") == 0 && !f->found)
        begin_file(f, f->single);
}

static void on_part_data(void *ctx, const char *p, size_t n)
{
    struct form *f = ctx;
    struct dt_err err;
    if (f->in_path && dt_buf_add(&f->field, p, n, &err) < 0) {
        form_error(f, "path", "too long");
        f->in_path = false;
    } else if (f->in_file && dt_incoming_write(&f->in, p, n, &err) < 0) {
        file_failed(f, &err);
    }
}

static void add_path(struct form *f)
{
    struct dt_str text = dt_buf_str(&f->field);
    while (text.n > 0 && strchr(" \t\r\n\v\f", text.p[text.n - 1]) != NULL)
        text.n--;
    while (text.n > 0 && strchr(" \t\r\n\v\f", text.p[0]) != NULL)
        text = dt_str(text.p + 1, text.n - 1);
    char what[INDEX_MAX + 16];
    (void)snprintf(what, sizeof(what), "path[%s]", f->index);
    if (text.n == 0)
        form_error(f, what, "empty path");
    if (f->npaths == PATHS_MAX) {
        form_error(f, what, "more than 10,000 files in one request");
        return;
    }
    if ((f->npaths & (f->npaths - 1)) == 0) {
        struct named *more =
            reallocarray(f->paths, f->npaths == 0 ? 1 : f->npaths * 2, sizeof(*more));
        if (more == NULL)
            return;
        f->paths = more;
    }
    struct named *n = &f->paths[f->npaths];
    memcpy(n->index, f->index, sizeof(n->index));
    n->path = text.n == 0 ? strdup("") : strndup(text.p, text.n);
    if (n->path != NULL)
        f->npaths++;
}

static void on_part_end(void *ctx)
{
    struct form *f = ctx;
    struct dt_err err;
    if (f->in_path)
        add_path(f);
    f->in_path = false;
    if (!f->in_file)
        return;
    uint64_t size = f->in.size;
    if (dt_incoming_commit(&f->in, &err) < 0) {
        file_failed(f, &err);
        return;
    }
    f->in_file = false;
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, (size_t)3 * FIELD_MAX);
    if (f->dest != NULL && dt_utf8_repair(&clean, dt_str_z(f->dest), NULL) == 0)
        (void)json_array_append_new(f->files, json_pack("{s:s%, s:I}", "path", clean.p, clean.n,
                                                        "bytes", (json_int_t)size));
}

static void no_file(struct form *f)
{
    if (f->any || !dt_sdk_is_go(f->req)) {
        form_error(f, "", "the form has no field `file`");
        return;
    }
    begin_file(f, f->single); /* an empty one */
    on_part_end(f);
}

static void form_free(struct form *f)
{
    dt_multipart_done(&f->parser);
    for (size_t i = 0; i < f->npaths; i++)
        free(f->paths[i].path);
    free(f->paths);
    dt_buf_done(&f->field);
    free(f->dest);
    free(f->single);
    dt_incoming_done(&f->in);
    json_decref(f->errors);
    json_decref(f->files);
    free(f);
}

static void form_gone(void *ctx, bool complete)
{
    (void)complete;
    form_free(ctx);
}

static void form_data(void *ctx, const char *p, size_t n)
{
    struct form *f = ctx;
    struct dt_err err;
    if (f->broken || dt_multipart_feed(&f->parser, p, n, &err) == 0)
        return;
    f->broken = true;
    f->in_file = false;
    dt_incoming_done(&f->in);
    form_error(f, "", err.msg);
}

static json_t *uploaded(const struct form *f)
{
    DT_AUTO_BUF struct dt_buf path;
    dt_buf_init(&path, (size_t)3 * FIELD_MAX);
    if (dt_utf8_repair(&path, dt_str_z(f->single), NULL) < 0)
        return NULL;
    const char *slash = strrchr(path.p, '/');
    const struct dt_tb_uploaded_file r = {
        .name = slash != NULL ? slash + 1 : path.p, .path = path.p, .type = "file"};
    return dt_tb_uploaded_file_print(&r);
}

static void form_done(struct form *f)
{
    const struct dt_tb_bulk_upload_result r = {.files = f->files};
    if (f->single == NULL)
        dt_reply_json(f->req, 200, dt_tb_bulk_upload_result_print(&r));
    else if (f->v2)
        dt_reply_json(f->req, 200, uploaded(f));
    else
        dt_reply_empty(f->req, 200);
}

static void form_end(void *ctx)
{
    struct form *f = ctx;
    struct dt_err err;
    if (!f->broken && dt_multipart_end(&f->parser, &err) < 0)
        form_error(f, "", err.msg);
    if (f->single != NULL && !f->found && json_array_size(f->errors) == 0)
        no_file(f);
    if (json_array_size(f->errors) == 0) {
        form_done(f);
        return;
    }
    (void)dt_err_set(&err, DT_E_BAD_REQUEST, "%s", json_string_value(json_array_get(f->errors, 0)));
    json_t *j = dt_reply_error_json(f->req, &err);
    (void)json_object_set(j, "errors", f->errors);
    (void)json_object_set(j, "files", f->files);
    dt_reply_json(f->req, dt_err_http(err.code), j);
}

static void form_start(struct dt_toolbox *tb, struct dt_http_req *req, char *single, bool v2)
{
    static const struct dt_multipart_events events = {on_part, on_part_data, on_part_end};
    struct dt_err err;
    struct form *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        free(single);
        (void)dt_err_set(&err, DT_E_NOMEM, "upload");
        dt_reply_error(req, &err);
        return;
    }
    f->tb = tb;
    f->req = req;
    f->single = single;
    f->v2 = v2;
    f->in.fd = -1;
    f->errors = json_array();
    f->files = json_array();
    dt_buf_init(&f->field, FIELD_MAX);
    if (dt_multipart_init(&f->parser, dt_http_req_header(req, "Content-Type"), &events, f, &err) <
        0) {
        form_error(f, "", "invalid multipart form");
        f->broken = true;
    }
    dt_http_req_on_done(req, form_gone, f);
    dt_http_req_stream(req, form_data, form_end, f);
}

void dt_op_files_bulk_upload(struct dt_toolbox *tb, struct dt_http_req *req,
                             const struct dt_str *segments)
{
    (void)segments;
    form_start(tb, req, NULL, false);
}

static void single_file(struct dt_toolbox *tb, struct dt_http_req *req, bool v2)
{
    struct dt_err err;
    struct dt_tb_path_query q;
    if (dt_tb_path_query_parse_query(dt_http_req_query(req), &q, &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    char *path = dt_guest_path(&tb->guest, q.path, &err);
    dt_tb_path_query_done(&q);
    if (path == NULL)
        dt_reply_error(req, &err);
    else
        form_start(tb, req, path, v2);
}

void dt_op_files_upload(struct dt_toolbox *tb, struct dt_http_req *req,
                        const struct dt_str *segments)
{
    (void)segments;
    single_file(tb, req, false);
}

void dt_op_files_upload_v2(struct dt_toolbox *tb, struct dt_http_req *req,
                           const struct dt_str *segments)
{
    (void)segments;
    single_file(tb, req, true);
}
