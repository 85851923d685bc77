/* /git/config, /git/config/user and /git/credentials. */
#include <stdio.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/utf8.h"
#include "toolbox/git_op.h"

/* Sets where git runs, and returns the scope's option. */
static const char *scope_option(struct dt_git_op *op, const char *scope, struct dt_str path,
                                struct dt_err *err)
{
    bool local = dt_git_given(scope) && strcmp(scope, "local") == 0;
    if (local && path.n == 0) {
        (void)dt_err_set(err, DT_E_INVALID, "scope local needs the repository's path");
        return NULL;
    }
    if (dt_git_op_at(op, local ? path : DT_STR("/"), err) < 0)
        return NULL;
    if (local)
        return "--local";
    if (!dt_git_given(scope) || strcmp(scope, "global") == 0)
        return "--global";
    if (strcmp(scope, "system") == 0)
        return "--system";
    (void)dt_err_set(err, DT_E_INVALID, "scope must be global, local or system");
    return NULL;
}

/* --- get --- */

static int on_value(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    bool unset = end->exit_code == 1 && end->errors->total == 0;
    if (!unset && dt_git_run_check(end, NULL, err) < 0)
        return -1;
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, (size_t)3 * DT_GIT_OUT_MAX);
    size_t n = end->out->n > 0 ? end->out->n - 1 : 0; /* a NUL ends it */
    if (dt_utf8_repair(&clean, dt_str(end->out->p, n), err) < 0)
        return -1;
    const struct dt_tb_git_config_value r = {
        .value = unset             ? NULL
                 : clean.p != NULL ? clean.p
                                   : "",
    };
    dt_reply_json(op->req, 200, dt_tb_git_config_value_print(&r));
    return 0;
}

static int get_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_config_query in;
    (void)body;
    if (dt_tb_git_config_query_parse_query(dt_http_req_query(op->req), &in, err) < 0)
        return -1;
    const char *scope = scope_option(op, in.scope, in.path, err);
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "config", scope != NULL ? scope : "", "-z", "--get", in.key, NULL);
    int r = scope != NULL ? dt_git_name_check(in.key, "key", err) : -1;
    if (r == 0)
        r = dt_git_op_run(op, &a, on_value, err);
    dt_tb_git_config_query_done(&in);
    return r;
}

void dt_op_git_config_get(struct dt_toolbox *tb, struct dt_http_req *req,
                          const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_query(tb, req, get_begin);
}

/* --- set --- */

static int set(struct dt_git_op *op, const char *scope, const char *key, const char *value,
               dt_git_next *next, struct dt_err *err)
{
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "config", scope, "--replace-all", key, value, NULL);
    return dt_git_op_run(op, &a, next, err);
}

static int set_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_config_set in;
    if (dt_tb_git_config_set_parse(body, &in, err) < 0)
        return -1;
    const char *scope = scope_option(op, in.scope, dt_str_z(in.path), err);
    int r = scope != NULL ? dt_git_name_check(in.key, "key", err) : -1;
    if (r == 0)
        r = set(op, scope, in.key, in.value, dt_git_op_finish, err);
    dt_tb_git_config_set_done(&in);
    return r;
}

void dt_op_git_config_set(struct dt_toolbox *tb, struct dt_http_req *req,
                          const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, set_begin);
}

/* --- user --- */

struct user {
    const char *scope;
    const char *email; /* in op->body */
};

static int on_name(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    const struct user *u = op->state;
    if (dt_git_run_check(end, NULL, err) < 0)
        return -1;
    return set(op, u->scope, "user.email", u->email, dt_git_op_finish, err);
}

static int user_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_config_user in;
    struct user *u = dt_git_op_state(op, sizeof(*u), err);
    if (u == NULL || dt_tb_git_config_user_parse(body, &in, err) < 0)
        return -1;
    u->scope = scope_option(op, in.scope, dt_str_z(in.path), err);
    u->email = in.email;
    int r = u->scope != NULL ? set(op, u->scope, "user.name", in.name, on_name, err) : -1;
    dt_tb_git_config_user_done(&in);
    return r;
}

void dt_op_git_config_user(struct dt_toolbox *tb, struct dt_http_req *req,
                           const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, user_begin);
}

/* --- credentials --- */

/* git's own file, ~/.git-credentials: that is what the caller asked for. It reaches git through a
 * memory file. */
static int store(struct dt_git_op *op, struct dt_err *err)
{
    const int *memory = op->state;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "credential-store", "store", NULL);
    struct dt_git_run_opts run = {.args = &a, .in = *memory};
    return dt_git_op_run_with(op, &run, dt_git_op_finish, err);
}

static int on_helper_added(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    return dt_git_run_check(end, NULL, err) < 0 ? -1 : store(op, err);
}

static int on_helpers(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    struct dt_str rest = dt_buf_str(end->out), line;
    while (dt_str_cut(&rest, '\n', &line)) {
        if (dt_str_eq(line, DT_STR("store")))
            return store(op, err);
    }
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "config", "--global", "--add", "credential.helper", "store", NULL);
    return dt_git_op_run(op, &a, on_helper_added, err);
}

static void memory_done(void *state)
{
    const int *memory = state;
    if (*memory > 0)
        (void)close(*memory);
}

static int check_credentials(const struct dt_tb_git_credentials *in, const char *protocol,
                             const char *host, struct dt_err *err)
{
    if (strcmp(protocol, "https") != 0 && strcmp(protocol, "http") != 0)
        return dt_err_set(err, DT_E_INVALID, "protocol must be https or http");
    if (strpbrk(host, "/ \t\r\n@?#") != NULL || host[0] == ':')
        return dt_err_set(err, DT_E_INVALID, "host must be a name, with :port if need be");
    if (strpbrk(in->username, "\r\n") != NULL || strpbrk(in->password, "\r\n") != NULL)
        return dt_err_set(err, DT_E_INVALID, "username and password must be single lines");
    return 0;
}

static int credentials_run(struct dt_git_op *op, const struct dt_tb_git_credentials *in,
                           struct dt_err *err)
{
    const char *protocol = dt_git_given(in->protocol) ? in->protocol : "https";
    const char *host = dt_git_given(in->host) ? in->host : "github.com";
    int *memory = dt_git_op_state(op, sizeof(*memory), err);
    if (memory == NULL || check_credentials(in, protocol, host, err) < 0 ||
        dt_git_op_at(op, DT_STR("/"), err) < 0)
        return -1;
    op->state_done = memory_done;
    *memory = memfd_create("git", MFD_CLOEXEC);
    if (*memory < 0)
        return dt_err_errno(err, "memfd");
    const char *const parts[] = {"protocol=",  protocol,      "\nhost=",    host,  "\nusername=",
                                 in->username, "\npassword=", in->password, "\n\n"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (dt_fd_write_all(*memory, parts[i], strlen(parts[i]), err) < 0)
            return -1;
    }
    if (lseek(*memory, 0, SEEK_SET) < 0)
        return dt_err_errno(err, "memfd");
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "config", "--global", "--get-all", "credential.helper", NULL);
    return dt_git_op_run(op, &a, on_helpers, err);
}

static int credentials_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_credentials in;
    if (dt_tb_git_credentials_parse(body, &in, err) < 0)
        return -1;
    int r = credentials_run(op, &in, err);
    dt_tb_git_credentials_done(&in);
    return r;
}

void dt_op_git_credentials(struct dt_toolbox *tb, struct dt_http_req *req,
                           const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, credentials_begin);
}
