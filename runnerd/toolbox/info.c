/* GET /version, /user-home-dir, /work-dir, /port and /port/{port}/in-use. */
#include "toolbox/ports.h"
#include "toolbox/reply.h"
#include "toolbox/toolbox.h"

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
