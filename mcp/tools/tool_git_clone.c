#include "mcp/giturl.h"
#include "mcp/tool.h"

enum { TOTAL_MS = 60 * 60 * 1000 };

struct state {
    struct dt_mcp_git_clone_in in;
    struct dt_giturl url;
    const char *path;
};

static int parse_input(json_t *args, void *state, struct dt_err *err)
{
    return dt_mcp_git_clone_in_parse(args, state, err);
}

static void done_state(void *state)
{
    struct state *s = state;
    dt_giturl_done(&s->url);
    dt_mcp_git_clone_in_done(&s->in);
}

static const char *hint_for(const struct dt_err *err)
{
    int http = dt_err_http(err->code);
    if (err->code == DT_E_GIT_AUTH_FAILED)
        return "Call git_clone with username and password (or an access token as password).";
    if (err->code == DT_E_GIT_REPO_NOT_FOUND)
        return "Check the url; a private repository needs username and password.";
    if (err->code == DT_E_GIT_BRANCH_NOT_FOUND)
        return "Check branch and commit_id, or leave them out for the default branch.";
    if (err->code == DT_E_GIT_TRANSPORT_FAILED)
        return "Check the host in the url, and with get_sandbox whether its network is blocked.";
    if (http == 409)
        return "Choose another path, or call delete_file on it first.";
    return NULL;
}

static void on_cloned(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    const char *password = s->in.password != NULL ? s->in.password : s->url.password;
    (void)reply;
    if (err != NULL && password != NULL && password[0] != '\0' &&
        strstr(err->msg, password) != NULL) {
        dt_tool_failf(c, "git could not clone %s. Check the url and the credentials.",
                      s->url.clean);
        return;
    }
    if (err != NULL) {
        dt_tool_fail(c, err, hint_for(err));
        return;
    }
    json_t *all = json_pack("{s:s,s:s}", "url", s->url.clean, "path", s->path);
    if (s->in.branch != NULL)
        (void)json_object_set_new(all, "branch", json_string(s->in.branch));
    if (s->in.commit_id != NULL)
        (void)json_object_set_new(all, "commitId", json_string(s->in.commit_id));
    dt_tool_result(c, all);
}

static void set_text(json_t *to, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0')
        (void)json_object_set_new(to, key, json_string(value));
}

static json_t *make_body(const struct state *s)
{
    json_t *b = json_object();
    set_text(b, "url", s->url.clean);
    set_text(b, "path", s->path);
    set_text(b, "branch", s->in.branch);
    set_text(b, "commit_id", s->in.commit_id);
    set_text(b, "username", s->in.username != NULL ? s->in.username : s->url.username);
    set_text(b, "password", s->in.password != NULL ? s->in.password : s->url.password);
    return b;
}

static void run(struct dt_call *c)
{
    struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "POST");
    r.total_ms = TOTAL_MS;
    if (dt_giturl_parse(s->in.url, &s->url, &err) == 0) {
        s->path =
            s->in.path != NULL && s->in.path[0] != '\0' ? dt_tool_path(s->in.path) : s->url.folder;
        if (dt_api_target(&r, &err, "/toolbox/%s/toolbox/git/clone", s->in.id) == 0 &&
            dt_api_json_body(&r, make_body(s), &err) == 0) {
            dt_call_fetch(c, &r, on_cloned);
            return;
        }
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_git_clone = {.state_size = sizeof(struct state),
                                          .parse = parse_input,
                                          .done = done_state,
                                          .run = run,
                                          .doing = "cloning"};
