/* POST /files/edit: in a thread; the file is read, edited and put in place at once. */
#include <fcntl.h>
#include <pthread.h>

#include "base/fd.h"
#include "toolbox/edit.h"
#include "toolbox/files.h"
#include "toolbox/incoming.h"
#include "toolbox/work.h"

enum { BODY_MAX = 8 * 1024 * 1024, FILE_MAX = 16 * 1024 * 1024, DEPTH_MAX = 4 };

struct edit_file {
    struct dt_toolbox *tb;
    struct dt_http_req *req; /* NULL: nobody waits any more */
    struct dt_tb_edit in;
    bool parsed;
    bool working;
    bool failed;
    char *path;
    size_t count, size;
    struct dt_err err;
};

static void edit_free(struct edit_file *e)
{
    if (e->parsed)
        dt_tb_edit_done(&e->in);
    free(e->path);
    free(e);
}

static void on_gone(void *ctx, bool complete)
{
    struct edit_file *e = ctx;
    (void)complete;
    e->req = NULL;
    if (!e->working)
        edit_free(e);
}

/* --- in a thread --- */

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int read_file(const char *path, struct dt_buf *text, struct stat *st, struct dt_err *err)
{
    /* Never waits for the writer of a FIFO, nor does anything to a device. */
    DT_AUTO_FD int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, st) < 0)
        return dt_reply_file_errno(err, errno, path);
    if (!S_ISREG(st->st_mode))
        return dt_err_set(err, DT_E_INVALID_FILE_PATH, "%s: it is no regular file", path);
    if (st->st_size > FILE_MAX || dt_fd_read_all(fd, text, err) < 0)
        return dt_err_set(err, DT_E_TOO_LARGE, "%s: files of more than %d bytes are not edited",
                          path, FILE_MAX);
    return 0;
}

static int write_file(const char *path, struct dt_str text, const struct stat *before,
                      struct dt_err *err)
{
    struct stat now;
    struct dt_incoming in;
    if (dt_incoming_begin(&in, path, DT_INCOMING_MODE_KEEP, true, err) < 0)
        return -1;
    int r = dt_incoming_write(&in, text.p, text.n, err);
    if (r == 0 && (stat(path, &now) < 0 || !same(before, &now)))
        r = dt_err_set(err, DT_E_CONFLICT,
                       "somebody else wrote to it meanwhile; it was left as it is: try again");
    if (r == 0)
        return dt_incoming_commit(&in, err);
    dt_incoming_done(&in);
    return -1;
}

static int edit(struct edit_file *e)
{
    struct stat st;
    DT_AUTO_BUF struct dt_buf text, out;
    const struct dt_edit what = {e->in.old_text, e->in.new_text, e->in.replace_all};
    dt_buf_init(&text, FILE_MAX);
    dt_buf_init(&out, FILE_MAX);
    if (read_file(e->path, &text, &st, &e->err) < 0)
        return -1;
    if (dt_edit_apply(&what, dt_buf_str(&text), &out, &e->count, &e->err) < 0)
        return dt_err_wrap(&e->err, "%s", e->path);
    e->size = out.n;
    return write_file(e->path, dt_buf_str(&out), &st, &e->err);
}

static void work(void *ctx)
{
    /* Of edits at the same time none is lost. */
    static pthread_mutex_t one_by_one = PTHREAD_MUTEX_INITIALIZER;
    struct edit_file *e = ctx;
    (void)pthread_mutex_lock(&one_by_one);
    e->failed = edit(e) < 0;
    (void)pthread_mutex_unlock(&one_by_one);
}

static void work_done(void *ctx)
{
    struct edit_file *e = ctx;
    e->working = false;
    if (e->req == NULL) {
        edit_free(e);
        return;
    }
    if (e->failed) {
        dt_reply_error(e->req, &e->err);
        return;
    }
    const struct dt_tb_edit_result r = {.replacements = (int64_t)e->count,
                                        .size = (int64_t)e->size};
    dt_reply_json(e->req, 200, dt_tb_edit_result_print(&r));
}

/* --- the request --- */

static int start(struct edit_file *e, struct dt_str body, struct dt_err *err)
{
    DT_AUTO_JSON json_t *j = dt_json_parse(body, DEPTH_MAX, err);
    if (j == NULL || dt_tb_edit_parse(j, &e->in, err) < 0)
        return -1;
    e->parsed = true;
    if (dt_str_eq(e->in.old_text, e->in.new_text))
        return dt_err_set(err, DT_E_BAD_REQUEST, "newText is oldText: nothing would change");
    e->path = dt_guest_path(&e->tb->guest, dt_str_z(e->in.path), err);
    if (e->path == NULL)
        return -1;
    e->working = true;
    if (dt_work_start(work, work_done, e, err) == 0)
        return 0;
    e->working = false;
    return -1;
}

static void on_body(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    struct edit_file *e = ctx;
    struct dt_err err;
    if (failed == NULL && start(e, body, &err) < 0)
        dt_reply_error(e->req, &err);
}

void dt_op_files_edit(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct edit_file *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "edit");
        dt_reply_error(req, &err);
        return;
    }
    e->tb = tb;
    e->req = req;
    dt_http_req_on_done(req, on_gone, e);
    dt_http_req_collect(req, BODY_MAX, on_body, e);
}
