/* /git/remotes */
#include "base/utf8.h"
#include "toolbox/git_op.h"

/* --- GET --- */

static json_t *text(struct dt_str s)
{
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, 3 * s.n + 1);
    return dt_utf8_repair(&clean, s, NULL) < 0
               ? NULL
               : json_stringn(clean.p != NULL ? clean.p : "", clean.n);
}

static bool same_name(const json_t *list, const json_t *name)
{
    size_t i;
    const json_t *r;
    json_array_foreach(list, i, r)
    {
        if (json_equal(json_object_get(r, "name"), name))
            return true;
    }
    return false;
}

/* `remote.<name>.url\n<url>`; of several URLs the first is git's to fetch from. */
static int add_remote(json_t *list, struct dt_str value)
{
    struct dt_str key;
    const size_t before = sizeof("remote.") - 1, behind = sizeof(".url") - 1;
    if (!dt_str_cut(&value, '\n', &key) || key.n <= before + behind || value.p == NULL)
        return 0;
    DT_AUTO_JSON json_t *name = text(dt_str(key.p + before, key.n - before - behind));
    DT_AUTO_JSON json_t *url = text(value);
    if (name == NULL || url == NULL)
        return -1;
    if (same_name(list, name))
        return 0;
    return json_array_append_new(list, json_pack("{s:O,s:O}", "name", name, "url", url));
}

static int list_end(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    bool none = end->exit_code == 1 && end->errors->total == 0;
    if (!none && dt_git_run_check(end, NULL, err) < 0)
        return -1;
    DT_AUTO_JSON json_t *list = json_array();
    struct dt_str rest = dt_buf_str(end->out), value;
    int r = list != NULL ? 0 : -1;
    while (r == 0 && rest.n > 0 && dt_str_cut(&rest, '\0', &value))
        r = add_remote(list, value);
    if (r < 0)
        return dt_err_set(err, DT_E_NOMEM, "git remotes");
    const struct dt_tb_git_remotes reply = {.remotes = list};
    dt_reply_json(op->req, 200, dt_tb_git_remotes_print(&reply));
    return 0;
}

static int list_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    (void)body;
    if (dt_git_op_at_query(op, err) < 0)
        return -1;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "config", "--local", "-z", "--get-regexp", "^remote\\..*\\.url$", NULL);
    return dt_git_op_run(op, &a, list_end, err);
}

void dt_op_git_remote_list(struct dt_toolbox *tb, struct dt_http_req *req,
                           const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_query(tb, req, list_begin);
}

/* --- POST --- */

struct remote {
    const char *name, *url; /* in op->body, or in `parsed` */
    struct dt_clone_url parsed;
    bool fetch, overwrite;
};

static void remote_done(void *state)
{
    struct remote *r = state;
    dt_clone_url_done(&r->parsed);
}

static int maybe_fetch(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    const struct remote *r = op->state;
    if (dt_git_run_check(end, NULL, err) < 0)
        return -1;
    if (!r->fetch) {
        dt_reply_empty(op->req, 200);
        return 0;
    }
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "fetch", "--quiet", "--", r->name, NULL);
    return dt_git_op_run(op, &a, dt_git_op_finish, err);
}

static int on_added(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    const struct remote *r = op->state;
    int checked = dt_git_run_check(end, NULL, err);
    bool exists = checked < 0 && strstr(err->msg, "already exists") != NULL;
    if (!exists)
        return checked < 0 ? -1 : maybe_fetch(op, end, err);
    if (!r->overwrite)
        return dt_err_set(err, DT_E_CONFLICT,
                          "remote %.200s exists already; choose another name, or set overwrite",
                          r->name);
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "remote", "set-url", "--", r->name, r->url, NULL);
    return dt_git_op_run(op, &a, maybe_fetch, err);
}

/* An address without a scheme gets https, as for a clone; all others stay as they are. */
static int add_run(struct dt_git_op *op, const struct dt_tb_git_remote_add *in, struct dt_err *err)
{
    struct remote *r = dt_git_op_state(op, sizeof(*r), err);
    if (r == NULL)
        return -1;
    op->state_done = remote_done;
    if (dt_git_name_check(in->name, "name", err) < 0 ||
        dt_clone_url_parse(in->url, &r->parsed, err) < 0 ||
        dt_git_op_at(op, dt_str_z(in->path), err) < 0)
        return -1;
    bool no_scheme = r->parsed.site != NULL && strstr(in->url, "://") == NULL;
    r->name = in->name;
    r->url = no_scheme ? r->parsed.clean : in->url;
    r->fetch = in->fetch;
    r->overwrite = in->overwrite;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "remote", "add", "--", r->name, r->url, NULL);
    return dt_git_op_run(op, &a, on_added, err);
}

static int add_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_remote_add in;
    if (dt_tb_git_remote_add_parse(body, &in, err) < 0)
        return -1;
    int r = add_run(op, &in, err);
    dt_tb_git_remote_add_done(&in);
    return r;
}

void dt_op_git_remote_add(struct dt_toolbox *tb, struct dt_http_req *req,
                          const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, add_begin);
}
