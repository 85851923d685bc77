/* GET /version, /user-home-dir, /work-dir, /port, /port/{port}/in-use, POST /init and /env. */
#include "toolbox/ports.h"
#include "toolbox/reply.h"
#include "toolbox/toolbox.h"

enum { BODY_MAX = 2 * 1024 * 1024 };

void dt_op_version(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)tb;
    (void)segments;
    const struct dt_tb_version r = {.version = DT_VERSION};
    dt_reply_json(req, 200, dt_tb_version_print(&r));
}

void dt_op_user_home_dir(struct dt_toolbox *tb, struct dt_http_req *req,
                         const struct dt_str *segments)
{
    (void)segments;
    const struct dt_tb_dir r = {.dir = tb->guest.user.home};
    dt_reply_json(req, 200, dt_tb_dir_print(&r));
}

void dt_op_work_dir(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    const struct dt_tb_dir r = {.dir = tb->guest.workdir};
    dt_reply_json(req, 200, dt_tb_dir_print(&r));
}

static void out_of_memory(struct dt_http_req *req)
{
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_NOMEM, "ports");
    dt_reply_error(req, &err);
}

void dt_op_port_list(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)tb;
    (void)segments;
    DT_AUTO_FREE struct dt_ports *p = dt_ports_read();
    DT_AUTO_JSON json_t *list = json_array();
    if (p == NULL || list == NULL) {
        out_of_memory(req);
        return;
    }
    for (int port = 1; port < 65536; port++) {
        if (p->listens[port])
            (void)json_array_append_new(list, json_integer(port));
    }
    const struct dt_tb_ports r = {.ports = list};
    dt_reply_json(req, 200, dt_tb_ports_print(&r));
}

void dt_op_port_in_use(struct dt_toolbox *tb, struct dt_http_req *req,
                       const struct dt_str *segments)
{
    (void)tb;
    unsigned long long port;
    struct dt_err err;
    if (dt_str_u64(segments[0], 65535, &port) < 0 || port == 0) {
        (void)dt_err_set(&err, DT_E_BAD_REQUEST,
                         "port out of range: must be a number between 1 and 65535");
        dt_reply_error(req, &err);
        return;
    }
    DT_AUTO_FREE struct dt_ports *p = dt_ports_read();
    if (p == NULL) {
        out_of_memory(req);
        return;
    }
    const struct dt_tb_port_in_use r = {.is_in_use = p->listens[port]};
    dt_reply_json(req, 200, dt_tb_port_in_use_print(&r));
}

/* The control group is out of the sandbox's sight: whoever forwards to us answers this. */
void dt_op_system_metrics(struct dt_toolbox *tb, struct dt_http_req *req,
                          const struct dt_str *segments)
{
    struct dt_err err;
    (void)tb;
    (void)segments;
    (void)dt_err_set(&err, DT_E_UNSUPPORTED,
                     "the limits of a sandbox are known outside of it: ask through the server");
    dt_reply_error(req, &err);
}

/* --- bodies --- */

struct change {
    struct dt_toolbox *tb;
    struct dt_http_req *req;
};

static void change_gone(void *ctx, bool complete)
{
    (void)complete;
    free(ctx);
}

static void collect(struct dt_toolbox *tb, struct dt_http_req *req,
                    void (*cb)(void *ctx, struct dt_str body, const struct dt_err *failed))
{
    struct dt_err err;
    struct change *c = malloc(sizeof(*c));
    if (c == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "request");
        dt_reply_error(req, &err);
        return;
    }
    *c = (struct change){tb, req};
    dt_http_req_on_done(req, change_gone, c);
    dt_http_req_collect(req, BODY_MAX, cb, c);
}

static void on_init(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    const struct change *c = ctx;
    struct dt_err err;
    struct dt_tb_initialize in;
    if (failed != NULL)
        return; /* answered */
    DT_AUTO_JSON json_t *j = dt_json_parse(body, 8, &err);
    if (j == NULL || dt_tb_initialize_parse(j, &in, &err) < 0) {
        dt_reply_error(c->req, &err);
        return;
    }
    dt_tb_initialize_done(&in);
    const struct dt_tb_initialized out = {
        .message = "Auth token set and telemetry initialized successfully"};
    dt_reply_json(c->req, 200, dt_tb_initialized_print(&out));
}

/* The token is for telemetry, of which there is none: nothing is kept. */
void dt_op_init(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    collect(tb, req, on_init);
}

static void on_env(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    const struct change *c = ctx;
    struct dt_err err;
    struct dt_tb_update_env in;
    if (failed != NULL)
        return; /* answered */
    DT_AUTO_JSON json_t *j = dt_json_parse(body, 8, &err);
    if (j == NULL || dt_tb_update_env_parse(j, &in, &err) < 0) {
        dt_reply_error(c->req, &err);
        return;
    }
    int r = dt_guest_env_update(&c->tb->guest, in.set, in.unset, in.unset_value_prefix, &err);
    dt_tb_update_env_done(&in);
    if (r < 0) {
        dt_reply_error(c->req, &err);
        return;
    }
    const struct dt_tb_message out = {.message = "Environment updated"};
    dt_reply_json(c->req, 200, dt_tb_message_print(&out));
}

void dt_op_env(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    collect(tb, req, on_env);
}
