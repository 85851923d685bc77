/* GET /files/find and GET /files/search: a walk through a tree in a thread, whose answer is written
 * as it goes and has a limit. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/utf8.h"
#include "toolbox/files.h"
#include "toolbox/glob.h"
#include "toolbox/grep.h"
#include "toolbox/sdk.h"
#include "toolbox/walk.h"
#include "toolbox/work.h"

enum {
    ANSWER_MAX = 8 * 1024 * 1024,
    BUFFER = 256 * 1024,
    PATTERN_MAX = 16 * 1024,
    LAST_FULL = 1, /* of the walk: the answer is at its limit */
};

struct find {
    struct dt_http_req *req; /* NULL: nobody waits any more */
    char *path, *shown, *pattern;
    size_t pattern_n;
    int64_t limit, count;
    bool strict; /* no member that an old client does not know */
    bool full;
    bool failed;
    bool working;
    const char *file; /* that is searched now */
    char *buffer;
    struct dt_buf out;
    uint64_t skipped;
    atomic_bool cancelled;
    struct dt_err err;
};

static void find_free(struct find *f)
{
    dt_buf_done(&f->out);
    free(f->path);
    free(f->shown);
    free(f->pattern);
    free(f->buffer);
    free(f);
}

static void on_gone(void *ctx, bool complete)
{
    struct find *f = ctx;
    (void)complete;
    f->req = NULL;
    if (f->working)
        atomic_store(&f->cancelled, true);
    else
        find_free(f);
}

/* Takes `j`. */
static int add_result(struct find *f, json_t *j)
{
    DT_AUTO_JSON json_t *own = j;
    size_t before = f->out.n;
    if (own == NULL || (f->count > 0 && dt_buf_addz(&f->out, ",", NULL) < 0) ||
        dt_json_write(own, &f->out, NULL) < 0) {
        f->out.n = before;
        f->full = true;
        return LAST_FULL;
    }
    f->count++;
    f->full = f->count >= f->limit;
    return f->full ? LAST_FULL : 0;
}

static json_t *text_of(struct dt_str s)
{
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, 3 * s.n + 16);
    return dt_utf8_repair(&clean, s, NULL) == 0 ? json_stringn(clean.n > 0 ? clean.p : "", clean.n)
                                                : NULL;
}

/* --- text --- */

static int on_match(void *ctx, uint64_t line, struct dt_str content, bool cut)
{
    struct find *f = ctx;
    json_t *j = json_pack("{s:o, s:I, s:o}", "file", text_of(dt_str_z(f->file)), "line",
                          (json_int_t)line, "content", text_of(content));
    if (j != NULL && cut && !f->strict)
        (void)json_object_set_new(j, "truncated", json_true());
    return add_result(f, j);
}

/* Never waits for the other end of a pipe, whatever the name has become meanwhile. */
static int open_text(const struct dt_walk_entry *e)
{
    struct stat st;
    int follow = e->level == 0 ? 0 : O_NOFOLLOW;
    DT_AUTO_FD int fd =
        openat(e->dir, e->name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | follow);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return -1;
    return dt_take_fd(&fd);
}

static int visit_text(void *ctx, const struct dt_walk_entry *e)
{
    struct find *f = ctx;
    if (e->type != DT_REG)
        return 0;
    const char *root = e->level == 0 ? f->path : e->name;
    struct dt_walk_entry at = *e;
    at.name = root;
    DT_AUTO_FD int fd = open_text(&at);
    const struct dt_grep g = {
        .needle = dt_str(f->pattern, f->pattern_n),
        .buf = f->buffer,
        .size = BUFFER,
        .cancelled = &f->cancelled,
        .match = on_match,
        .ctx = f,
    };
    f->file = e->path;
    int r = fd < 0 ? -1 : dt_grep(&g, fd);
    f->skipped += r < 0;
    return r > 0 ? r : 0;
}

/* --- names --- */

static int visit_name(void *ctx, const struct dt_walk_entry *e)
{
    struct find *f = ctx;
    if (!dt_glob_match(dt_str(f->pattern, f->pattern_n), dt_str_z(e->name)))
        return 0;
    return add_result(f, text_of(dt_str_z(e->path)));
}

/* --- both --- */

static int walk(struct find *f, int (*visit)(void *ctx, const struct dt_walk_entry *e))
{
    struct dt_walk w = {
        .root = f->path,
        .shown = dt_str_z(f->shown),
        .cancelled = &f->cancelled,
        .visit = visit,
        .ctx = f,
    };
    int r = dt_walk(&w, &f->err);
    f->skipped += w.skipped;
    /* A folder that is not there has nothing in it: so it is for all clients. */
    if (r < 0 && f->err.code == DT_E_FILE_NOT_FOUND)
        r = 0;
    return r < 0 ? -1 : 0;
}

static void find_work(void *ctx)
{
    struct find *f = ctx;
    f->buffer = malloc(BUFFER);
    if (f->buffer == NULL)
        f->failed = dt_err_set(&f->err, DT_E_NOMEM, "search") < 0;
    else
        f->failed = dt_buf_addz(&f->out, "[", &f->err) < 0 || walk(f, visit_text) < 0;
}

static void search_work(void *ctx)
{
    struct find *f = ctx;
    f->failed = dt_buf_addz(&f->out, "{\"files\":[", &f->err) < 0 || walk(f, visit_name) < 0;
}

static void reply(struct find *f, const char *end)
{
    char number[24];
    if (f->failed || dt_buf_addz(&f->out, end, &f->err) < 0) {
        dt_reply_error(f->req, &f->err);
        return;
    }
    if (f->full)
        dt_http_req_add_header(f->req, "X-Daytona-Truncated", DT_STR("true"));
    if (f->skipped > 0) {
        (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)f->skipped);
        dt_http_req_add_header(f->req, "X-Daytona-Skipped", dt_str_z(number));
    }
    dt_http_req_reply(f->req, 200, "application/json; charset=utf-8", f->out.p, f->out.n);
}

static void find_done(void *ctx)
{
    struct find *f = ctx;
    f->working = false;
    if (f->req == NULL)
        find_free(f);
    else
        reply(f, "]");
}

static void search_done(void *ctx)
{
    struct find *f = ctx;
    f->working = false;
    if (f->req == NULL)
        find_free(f);
    else
        reply(f, "]}");
}

/* What paths in the answer begin with: the folder as it was named, without `./` in front, `/`
 * behind; nothing for the work dir itself. */
static char *shown_root(struct dt_str path)
{
    while (path.n > 1 && path.p[0] == '.' && path.p[1] == '/') {
        size_t skip = 2;
        while (skip < path.n && path.p[skip] == '/')
            skip++;
        path = dt_str(path.p + skip, path.n - skip);
    }
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    if (dt_str_eq(path, DT_STR(".")))
        path.n = 0;
    return path.n > 0 ? strndup(path.p, path.n) : strdup("");
}

static void trim_slashes(char *path)
{
    for (size_t n = path != NULL ? strlen(path) : 0; n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
}

static struct find *find_new(struct dt_toolbox *tb, struct dt_http_req *req, struct dt_err *err)
{
    struct dt_tb_find_query in;
    if (dt_tb_find_query_parse_query(dt_http_req_query(req), &in, err) < 0)
        return NULL;
    struct find *f = calloc(1, sizeof(*f));
    if (f != NULL) {
        f->path = dt_guest_path(&tb->guest, in.path, err);
        trim_slashes(f->path);
        f->shown = shown_root(in.path);
        f->pattern = strndup(in.pattern.n > 0 ? in.pattern.p : "", in.pattern.n);
        f->pattern_n = in.pattern.n;
        f->limit = in.limit;
        f->strict = dt_sdk_is_strict(req);
        dt_buf_init(&f->out, ANSWER_MAX);
    }
    bool bad_path = f != NULL && f->path == NULL;
    dt_tb_find_query_done(&in);
    int r = 0;
    if (f == NULL || (!bad_path && (f->shown == NULL || f->pattern == NULL)))
        r = dt_err_set(err, DT_E_NOMEM, "search");
    else if (!bad_path && f->pattern_n == 0)
        r = dt_err_set(err, DT_E_BAD_REQUEST, "pattern is required");
    else if (!bad_path && f->pattern_n > PATTERN_MAX)
        r = dt_err_set(err, DT_E_BAD_REQUEST, "pattern is longer than %d bytes", PATTERN_MAX);
    if (f == NULL || (r == 0 && !bad_path))
        return f;
    find_free(f);
    return NULL;
}

static void start(struct dt_http_req *req, struct find *f, void (*work)(void *ctx),
                  void (*done)(void *ctx))
{
    struct dt_err err;
    f->req = req;
    f->working = true;
    dt_http_req_on_done(req, on_gone, f);
    if (dt_work_start_long(work, done, f, &err) == 0)
        return;
    f->working = false;
    dt_reply_error(req, &err);
}

void dt_op_files_find(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct find *f = find_new(tb, req, &err);
    if (f == NULL)
        dt_reply_error(req, &err);
    else
        start(req, f, find_work, find_done);
}

void dt_op_files_search(struct dt_toolbox *tb, struct dt_http_req *req,
                        const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct find *f = find_new(tb, req, &err);
    if (f != NULL && dt_glob_check(dt_str(f->pattern, f->pattern_n), &err) < 0) {
        find_free(f);
        f = NULL;
    }
    if (f == NULL)
        dt_reply_error(req, &err);
    else
        start(req, f, search_work, search_done);
}
