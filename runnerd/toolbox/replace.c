/* POST /files/replace: in a thread, one file after the other; each is written beside itself and put
 * in place at once. */
#include <fcntl.h>
#include <stdio.h>

#include "base/utf8.h"
#include "toolbox/files.h"
#include "toolbox/incoming.h"
#include "toolbox/subst.h"
#include "toolbox/work.h"

enum { BODY_MAX = 4 * 1024 * 1024, BUFFER = 256 * 1024, BLOCK = 4096 };

struct replace {
    struct dt_toolbox *tb;
    struct dt_http_req *req; /* NULL: nobody waits any more */
    struct dt_tb_replace in;
    bool parsed;
    bool working;
    bool failed;
    json_t *results;
    struct dt_subst subst;
    atomic_bool cancelled;
    struct dt_err err;
};

static void replace_free(struct replace *r)
{
    if (r->parsed)
        dt_tb_replace_done(&r->in);
    json_decref(r->results);
    free(r->subst.buf);
    free(r);
}

static void on_gone(void *ctx, bool complete)
{
    struct replace *r = ctx;
    (void)complete;
    r->req = NULL;
    if (r->working)
        atomic_store(&r->cancelled, true);
    else
        replace_free(r);
}

/* --- one file --- */

struct target {
    struct dt_incoming in;
    bool sparse; /* blocks of zeros stay holes */
};

static bool is_zero(const char *p, size_t n)
{
    return p[0] == '\0' && memcmp(p, p + 1, n - 1) == 0;
}

static int put(void *ctx, const char *p, size_t n, struct dt_err *err)
{
    struct target *t = ctx;
    if (!t->sparse || n < BLOCK || !is_zero(p, n))
        return dt_incoming_write(&t->in, p, n, err);
    return dt_incoming_skip(&t->in, n, err);
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int rewrite(struct replace *r, int fd, const char *path, const struct stat *st,
                   struct dt_err *err)
{
    struct stat now;
    struct target t = {.sparse = st->st_blocks * 512 < st->st_size};
    if (lseek(fd, 0, SEEK_SET) < 0)
        return dt_reply_file_errno(err, errno, path);
    if (dt_incoming_begin(&t.in, path, DT_INCOMING_MODE_KEEP, true, err) < 0)
        return -1;
    if (dt_subst_copy(&r->subst, fd, put, &t, err) < 0) {
        dt_incoming_done(&t.in);
        return -1;
    }
    if (fstat(fd, &now) < 0 || !same(st, &now)) {
        dt_incoming_done(&t.in);
        return dt_err_set(err, DT_E_CONFLICT,
                          "somebody else wrote to it meanwhile: it was left as it is; try again");
    }
    return dt_incoming_commit(&t.in, err);
}

static int replace_in(struct replace *r, const json_t *name, struct dt_err *err)
{
    struct stat st;
    bool found;
    DT_AUTO_FREE char *path = dt_guest_path(
        &r->tb->guest, dt_str(json_string_value(name), json_string_length(name)), err);
    DT_AUTO_FD int fd = path != NULL ? dt_files_open_regular(path, &st, err) : -1;
    if (fd < 0 || dt_subst_find(&r->subst, fd, &found, err) < 0)
        return -1;
    return found ? rewrite(r, fd, path, &st, err) : 0;
}

static json_t *result(const json_t *name, const struct dt_err *why)
{
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, 4 * sizeof(why->msg));
    const char *text =
        why != NULL && dt_utf8_repair(&clean, dt_str_z(why->msg), NULL) == 0 ? clean.p : NULL;
    const struct dt_tb_replace_result out = {
        .file = json_string_value(name), .success = why == NULL, .error = text};
    return dt_tb_replace_result_print(&out);
}

/* --- all --- */

static void work(void *ctx)
{
    struct replace *r = ctx;
    r->subst.size = BUFFER + 2 * r->subst.needle.n;
    r->subst.buf = malloc(r->subst.size);
    r->results = json_array();
    r->failed = r->subst.buf == NULL || r->results == NULL;
    if (r->failed)
        (void)dt_err_set(&r->err, DT_E_NOMEM, "replace");
    for (size_t i = 0; !r->failed && i < json_array_size(r->in.files); i++) {
        struct dt_err err;
        const json_t *name = json_array_get(r->in.files, i);
        int done = replace_in(r, name, &err);
        if (atomic_load(&r->cancelled))
            return;
        (void)json_array_append_new(r->results, result(name, done < 0 ? &err : NULL));
    }
}

static void work_done(void *ctx)
{
    struct replace *r = ctx;
    r->working = false;
    if (r->req == NULL)
        replace_free(r);
    else if (r->failed)
        dt_reply_error(r->req, &r->err);
    else
        dt_reply_json(r->req, 200, json_incref(r->results));
}

static int start(struct replace *r, struct dt_str body, struct dt_err *err)
{
    DT_AUTO_JSON json_t *j = dt_json_parse(body, 8, err);
    if (j == NULL || dt_tb_replace_parse(j, &r->in, err) < 0)
        return -1;
    r->parsed = true;
    r->subst.needle = r->in.pattern;
    r->subst.value = r->in.new_value;
    r->subst.cancelled = &r->cancelled;
    r->working = true;
    if (dt_work_start_long(work, work_done, r, err) == 0)
        return 0;
    r->working = false;
    return -1;
}

static void on_body(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    struct replace *r = ctx;
    struct dt_err err;
    if (failed == NULL && start(r, body, &err) < 0)
        dt_reply_error(r->req, &err);
}

void dt_op_files_replace(struct dt_toolbox *tb, struct dt_http_req *req,
                         const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct replace *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "replace");
        dt_reply_error(req, &err);
        return;
    }
    r->tb = tb;
    r->req = req;
    dt_http_req_on_done(req, on_gone, r);
    dt_http_req_collect(req, BODY_MAX, on_body, r);
}
