#include "toolbox/files.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "toolbox/fileinfo.h"
#include "toolbox/sdk.h"
#include "toolbox/work.h"

int dt_files_mode(const char *text, mode_t most, mode_t *ret, struct dt_err *err)
{
    unsigned long v = 0;
    size_t n = strlen(text);
    for (size_t i = 0; i < n && v <= most; i++)
        v = text[i] >= '0' && text[i] <= '7' ? v * 8 + (unsigned long)(text[i] - '0') : most + 1ul;
    if (n == 0 || v > most)
        return dt_err_set(err, DT_E_INVALID, "invalid mode format: '%.40s' must be octal, as 0755",
                          text);
    *ret = (mode_t)v;
    return 0;
}

int dt_files_make_parents(const char *path, mode_t mode, struct dt_err *err)
{
    DT_AUTO_FREE char *copy = strdup(path);
    if (copy == NULL)
        return dt_err_set(err, DT_E_NOMEM, "path");
    char *last = strrchr(copy, '/');
    if (last == NULL || last == copy)
        return 0;
    *last = '\0';
    struct stat st;
    if (stat(copy, &st) == 0 && S_ISDIR(st.st_mode))
        return 0;
    for (char *at = copy + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char c = *at;
        *at = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            return dt_reply_file_errno(err, errno, copy);
        if (c == '\0')
            break;
        *at = c;
    }
    if (stat(copy, &st) < 0)
        return dt_reply_file_errno(err, errno, copy);
    if (!S_ISDIR(st.st_mode))
        return dt_reply_file_errno(err, ENOTDIR, copy);
    return 0;
}

/* Dangling links are described themselves. */
static int stat_or_link(const char *path, struct stat *st)
{
    if (stat(path, st) == 0)
        return 0;
    int number = errno;
    if (number == ENOENT && lstat(path, st) == 0)
        return 0;
    errno = number;
    return -1;
}

static struct dt_str last_element(struct dt_str path)
{
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    const char *slash = path.n > 1 ? memrchr(path.p, '/', path.n) : NULL;
    if (slash == NULL)
        return path;
    size_t skip = (size_t)(slash - path.p) + 1;
    return dt_str(path.p + skip, path.n - skip);
}

static char *query_path(struct dt_toolbox *tb, struct dt_http_req *req, struct dt_tb_path_query *in,
                        struct dt_err *err)
{
    if (dt_tb_path_query_parse_query(dt_http_req_query(req), in, err) < 0)
        return NULL;
    char *path = dt_guest_path(&tb->guest, in->path, err);
    if (path == NULL)
        dt_tb_path_query_done(in);
    return path;
}

void dt_op_files_info(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct dt_tb_path_query in;
    DT_AUTO_FREE char *path = query_path(tb, req, &in, &err);
    if (path == NULL) {
        dt_reply_error(req, &err);
        return;
    }
    struct stat st;
    if (stat_or_link(path, &st) < 0) {
        (void)dt_reply_file_errno(&err, errno, path);
        dt_reply_error(req, &err);
    } else {
        const struct dt_fileinfo f = {
            .name = last_element(in.path), .st = &st, .strict = dt_sdk_is_strict(req)};
        dt_reply_json(req, 200, dt_fileinfo_json(&f));
    }
    dt_tb_path_query_done(&in);
}

static int make_folder(const char *path, const char *mode_text, struct dt_err *err)
{
    mode_t mode;
    struct stat st;
    if (dt_files_mode(mode_text, 07777, &mode, err) < 0 ||
        dt_files_make_parents(path, mode, err) < 0)
        return -1;
    if (mkdir(path, mode) == 0)
        return 0;
    int number = errno;
    if (number == EEXIST && stat(path, &st) == 0)
        return S_ISDIR(st.st_mode)
                   ? 0
                   : dt_err_set(err, DT_E_BAD_REQUEST, "%.400s: exists and is not a folder", path);
    return dt_reply_file_errno(err, number, path);
}

void dt_op_files_folder(struct dt_toolbox *tb, struct dt_http_req *req,
                        const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct dt_tb_folder_query in;
    if (dt_tb_folder_query_parse_query(dt_http_req_query(req), &in, &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    DT_AUTO_FREE char *path = dt_guest_path(&tb->guest, in.path, &err);
    if (path == NULL || make_folder(path, in.mode, &err) < 0)
        dt_reply_error(req, &err);
    else
        dt_reply_empty(req, 201);
    dt_tb_folder_query_done(&in);
}

/* The owner first, since changing it clears bits of the mode; all of it or nothing. */
static int change(const char *path, const struct dt_user *owner, const mode_t *mode,
                  struct dt_err *err)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return dt_reply_file_errno(err, errno, path);
    if (owner != NULL && chown(path, owner->uid, owner->gid) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST, "failed to change ownership: %s", strerror(errno));
    if (mode == NULL || chmod(path, *mode) == 0)
        return 0;
    int number = errno;
    if (owner != NULL && chown(path, st.st_uid, st.st_gid) == 0)
        (void)chmod(path, st.st_mode & 07777);
    return dt_err_set(err, DT_E_BAD_REQUEST, "failed to change mode: %s", strerror(number));
}

static int set_permissions(const char *path, const struct dt_tb_permissions_query *in,
                           struct dt_err *err)
{
    struct dt_user u = {.uid = (uid_t)-1, .gid = (gid_t)-1};
    mode_t mode = 0;
    bool has_mode = in->mode != NULL && in->mode[0] != '\0';
    if (has_mode && dt_files_mode(in->mode, 07777, &mode, err) < 0)
        return -1;
    DT_AUTO_BUF struct dt_buf passwd, group;
    dt_buf_init(&passwd, DT_USER_FILE_MAX);
    dt_buf_init(&group, DT_USER_FILE_MAX);
    bool has_owner = in->owner != NULL && in->owner[0] != '\0';
    bool has_group = in->group != NULL && in->group[0] != '\0';
    if (has_owner && dt_fd_read_file(AT_FDCWD, "/etc/passwd", &passwd, err) < 0)
        dt_buf_clear(&passwd);
    if (has_group && dt_fd_read_file(AT_FDCWD, "/etc/group", &group, err) < 0)
        dt_buf_clear(&group);
    if (has_owner && dt_user_find(dt_buf_str(&passwd), (struct dt_str){NULL, 0},
                                  dt_str_z(in->owner), &u, NULL) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST, "user not found: %.100s", in->owner);
    u.gid = (gid_t)-1;
    if (has_group && dt_user_group(dt_buf_str(&group), dt_str_z(in->group), &u.gid, NULL) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST, "group not found: %.100s", in->group);
    return change(path, has_owner || has_group ? &u : NULL, has_mode ? &mode : NULL, err);
}

void dt_op_files_permissions(struct dt_toolbox *tb, struct dt_http_req *req,
                             const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct dt_tb_permissions_query in;
    if (dt_tb_permissions_query_parse_query(dt_http_req_query(req), &in, &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    DT_AUTO_FREE char *path = dt_guest_path(&tb->guest, in.path, &err);
    if (path == NULL || set_permissions(path, &in, &err) < 0)
        dt_reply_error(req, &err);
    else
        dt_reply_empty(req, 200);
    dt_tb_permissions_query_done(&in);
}

/* --- what can take long: in a thread --- */

struct slow {
    struct dt_http_req *req; /* NULL: nobody waits any more */
    char *path, *to;
    bool recursive;
    bool working;
    bool failed;
    int status; /* of the answer when it did not fail */
    struct dt_err err;
};

static void slow_free(struct slow *s)
{
    free(s->path);
    free(s->to);
    free(s);
}

static void slow_gone(void *ctx, bool complete)
{
    struct slow *s = ctx;
    (void)complete;
    s->req = NULL;
    if (!s->working)
        slow_free(s);
}

static void slow_done(void *ctx)
{
    struct slow *s = ctx;
    struct dt_http_req *req = s->req;
    s->working = false;
    if (req == NULL)
        slow_free(s);
    else if (s->failed)
        dt_reply_error(req, &s->err);
    else
        dt_reply_empty(req, s->status);
}

static void slow_start(struct dt_http_req *req, struct slow *s, void (*work)(void *ctx))
{
    struct dt_err err;
    s->req = req;
    s->working = true;
    dt_http_req_on_done(req, slow_gone, s);
    if (dt_work_start(work, slow_done, s, &err) == 0)
        return;
    s->working = false;
    dt_reply_error(req, &err);
}

static void delete_work(void *ctx)
{
    struct slow *s = ctx;
    struct stat st;
    if (lstat(s->path, &st) < 0) {
        s->failed = dt_reply_file_errno(&s->err, errno, s->path) < 0;
        return;
    }
    if (S_ISDIR(st.st_mode) && !s->recursive) {
        s->failed = true;
        (void)dt_err_set(&s->err, DT_E_BAD_REQUEST,
                         "cannot delete directory without recursive flag");
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        if (unlink(s->path) < 0)
            s->failed = dt_reply_file_errno(&s->err, errno, s->path) < 0;
        return;
    }
    s->failed = dt_files_remove_tree(s->path, &s->err) < 0;
}

void dt_op_files_delete(struct dt_toolbox *tb, struct dt_http_req *req,
                        const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct dt_tb_delete_query in;
    if (dt_tb_delete_query_parse_query(dt_http_req_query(req), &in, &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    struct slow *s = calloc(1, sizeof(*s));
    char *path = dt_guest_path(&tb->guest, in.path, &err);
    if (s == NULL || path == NULL) {
        if (s == NULL)
            (void)dt_err_set(&err, DT_E_NOMEM, "delete");
        free(s);
        free(path);
        dt_reply_error(req, &err);
    } else {
        s->path = path;
        s->status = 204;
        s->recursive = in.recursive != NULL && strcmp(in.recursive, "true") == 0;
        slow_start(req, s, delete_work);
    }
    dt_tb_delete_query_done(&in);
}

static void move_work(void *ctx)
{
    struct slow *s = ctx;
    s->failed = dt_files_move(s->path, s->to, &s->err) < 0;
}

void dt_op_files_move(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct dt_tb_move_query in;
    if (dt_tb_move_query_parse_query(dt_http_req_query(req), &in, &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    struct slow *s = calloc(1, sizeof(*s));
    char *from = dt_guest_path(&tb->guest, in.source, &err);
    char *to = from != NULL ? dt_guest_path(&tb->guest, in.destination, &err) : NULL;
    if (s == NULL || to == NULL) {
        if (s == NULL)
            (void)dt_err_set(&err, DT_E_NOMEM, "move");
        free(s);
        free(from);
        free(to);
        dt_reply_error(req, &err);
    } else {
        s->path = from;
        s->to = to;
        s->status = 200;
        slow_start(req, s, move_work);
    }
    dt_tb_move_query_done(&in);
}
