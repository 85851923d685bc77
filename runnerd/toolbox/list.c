/* GET /files: names, or paths when a depth was asked for, are read and sorted in a thread, then
 * described in small steps on the loop, so that a folder with a million entries neither blocks nor
 * fills memory. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "toolbox/fileinfo.h"
#include "toolbox/files.h"
#include "toolbox/sdk.h"
#include "toolbox/walk.h"
#include "toolbox/work.h"

enum { ENTRIES_MAX = 100 * 1000, STEP = 128 };

struct list {
    struct dt_http_req *req; /* NULL: nobody waits any more */
    char *path;
    char **names;
    size_t n, at;
    uint64_t total; /* entries in the folder, also those above ENTRIES_MAX; of one level only */
    unsigned depth; /* 0: none was asked for */
    bool strict, truncated;
    atomic_bool cancelled;
    uv_idle_t idle;
    struct dt_err err;
    int dir;
    bool idle_open;
    bool working;
    bool failed;
    bool any; /* an entry was written: a comma comes first */
};

static void list_free(struct list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->names[i]);
    free((void *)l->names);
    free(l->path);
    if (l->dir >= 0)
        (void)close(l->dir);
    free(l);
}

static void on_idle_closed(uv_handle_t *h)
{
    list_free(h->data);
}

static void on_done(void *ctx, bool complete)
{
    struct list *l = ctx;
    (void)complete;
    l->req = NULL;
    if (l->working) {
        atomic_store(&l->cancelled, true);
        return;
    }
    if (l->idle_open)
        uv_close((uv_handle_t *)&l->idle, on_idle_closed);
    else
        list_free(l);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_name(struct list *l, const char *name, struct dt_err *err)
{
    l->total++;
    if (l->n == ENTRIES_MAX) {
        l->truncated = true;
        return 0;
    }
    if ((l->n & (l->n - 1)) == 0) {
        size_t cap = l->n == 0 ? 1 : l->n * 2;
        char **more = reallocarray((void *)l->names, cap, sizeof(*more));
        if (more == NULL)
            return dt_err_set(err, DT_E_NOMEM, "list of %zu entries", cap);
        l->names = more;
    }
    l->names[l->n] = strdup(name);
    if (l->names[l->n] == NULL)
        return dt_err_set(err, DT_E_NOMEM, "list");
    l->n++;
    return 0;
}

static int read_names(struct list *l, struct dt_err *err)
{
    l->dir = open(l->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    if (l->dir < 0)
        return dt_reply_file_errno(err, errno, l->path);
    DT_AUTO_FD int own = openat(l->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = own >= 0 ? fdopendir(own) : NULL;
    if (d == NULL)
        return dt_reply_file_errno(err, errno, l->path);
    (void)dt_take_fd(&own);
    const struct dirent *e;
    int r = 0;
    while (r == 0 && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = add_name(l, e->d_name, err);
    }
    (void)closedir(d);
    if (r == 0 && l->n > 0)
        qsort((void *)l->names, l->n, sizeof(*l->names), by_name);
    return r;
}

static int visit(void *ctx, const struct dt_walk_entry *e)
{
    struct list *l = ctx;
    if (e->level > 0 && add_name(l, e->path, &l->err) < 0)
        l->failed = true;
    return l->failed || l->truncated;
}

static void read_levels(struct list *l)
{
    struct dt_walk w = {
        .root = l->path,
        .depth = l->depth,
        .cancelled = &l->cancelled,
        .visit = visit,
        .ctx = l,
    };
    l->dir = open(l->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    if (l->dir < 0)
        l->failed = dt_reply_file_errno(&l->err, errno, l->path) < 0;
    else if (dt_walk(&w, &l->err) < 0)
        l->failed = true;
}

static void work(void *ctx)
{
    struct list *l = ctx;
    if (l->depth > 1)
        read_levels(l);
    else
        l->failed = read_names(l, &l->err) < 0;
}

static struct dt_str base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return dt_str_z(slash != NULL ? slash + 1 : path);
}

static json_t *describe(const struct list *l, const char *name, const struct stat *st)
{
    DT_AUTO_BUF struct dt_buf path;
    size_t n = strlen(l->path);
    bool slash = n > 0 && l->path[n - 1] == '/';
    dt_buf_init(&path, n + strlen(name) + 2);
    if (l->depth > 0 && dt_buf_addf(&path, NULL, "%s%s%s", l->path, slash ? "" : "/", name) < 0)
        return NULL;
    const struct dt_fileinfo f = {
        .name = base_name(name), .path = dt_buf_str(&path), .st = st, .strict = l->strict};
    return dt_fileinfo_json(&f);
}

/* Appends one entry; one that vanished meanwhile is left out. */
static int add_entry(struct list *l, struct dt_buf *out, size_t i)
{
    struct stat st;
    if (fstatat(l->dir, l->names[i], &st, 0) < 0 &&
        fstatat(l->dir, l->names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    DT_AUTO_JSON json_t *j = describe(l, l->names[i], &st);
    if (j == NULL || (l->any && dt_buf_addz(out, ",", NULL) < 0))
        return -1;
    l->any = true;
    return dt_json_write(j, out, NULL);
}

static void on_idle(uv_idle_t *idle)
{
    struct list *l = idle->data;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, (size_t)STEP * 32768);
    size_t end = l->at + STEP < l->n ? l->at + STEP : l->n;
    for (; l->at < end; l->at++) {
        if (add_entry(l, &out, l->at) < 0) {
            dt_http_req_abort(l->req);
            return;
        }
    }
    bool room = dt_http_req_write(l->req, out.p, out.n);
    if (l->at == l->n) {
        (void)uv_idle_stop(idle);
        (void)dt_http_req_write(l->req, "]", 1);
        dt_http_req_end(l->req);
    } else if (!room) {
        (void)uv_idle_stop(idle);
    }
}

static void on_drain(void *ctx)
{
    struct list *l = ctx;
    if (l->at < l->n)
        (void)uv_idle_start(&l->idle, on_idle);
}

static void begin(struct list *l)
{
    char number[24];
    (void)uv_idle_init(dt_http_req_loop(l->req), &l->idle);
    l->idle.data = l;
    l->idle_open = true;
    if (l->truncated && l->depth <= 1) {
        int len = snprintf(number, sizeof(number), "%llu", (unsigned long long)l->total);
        dt_http_req_add_header(l->req, "X-Daytona-Total-Entries", dt_str(number, (size_t)len));
    }
    if (l->truncated)
        dt_http_req_add_header(l->req, "X-Daytona-Truncated", DT_STR("true"));
    dt_http_req_add_header(l->req, "Content-Type", DT_STR("application/json; charset=utf-8"));
    dt_http_req_on_drain(l->req, on_drain, l);
    dt_http_req_begin(l->req, 200, UINT64_MAX);
    (void)dt_http_req_write(l->req, "[", 1);
    (void)uv_idle_start(&l->idle, on_idle);
}

static void work_done(void *ctx)
{
    struct list *l = ctx;
    l->working = false;
    if (l->req == NULL)
        list_free(l);
    else if (l->failed)
        dt_reply_error(l->req, &l->err);
    else
        begin(l);
}

void dt_op_files_list(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct dt_tb_list_query in;
    if (dt_tb_list_query_parse_query(dt_http_req_query(req), &in, &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    char *path = dt_guest_path(&tb->guest, in.path.n > 0 ? in.path : DT_STR("."), &err);
    int64_t depth = in.has_depth ? in.depth : 0;
    dt_tb_list_query_done(&in);
    struct list *l = path != NULL ? calloc(1, sizeof(*l)) : NULL;
    if (l == NULL) {
        if (path != NULL)
            (void)dt_err_set(&err, DT_E_NOMEM, "list");
        free(path);
        dt_reply_error(req, &err);
        return;
    }
    l->req = req;
    l->path = path;
    l->dir = -1;
    l->depth = (unsigned)depth;
    l->strict = dt_sdk_is_strict(req);
    l->working = true;
    dt_http_req_on_done(req, on_done, l);
    if (dt_work_start(work, work_done, l, &err) < 0) {
        l->working = false;
        dt_reply_error(req, &err);
    }
}
