/* What is done to a sandbox between its start and its end, beyond starting and stopping it. */
#include "model/name.h"
#include "runnerd/api/api.h"
#include "runnerd/backup.h"
#include "runnerd/network.h"

void dt_api_sandbox_archive(struct dt_api_req *a)
{
    dt_api_change(a, DT_CALL_ARCHIVE);
}

void dt_api_sandbox_pause(struct dt_api_req *a)
{
    dt_api_change(a, DT_CALL_PAUSE);
}

/* `begun` as of an operation that holds a reference unless it failed. */
static void after(struct dt_api_req *a, int begun, const struct dt_err *err)
{
    if (begun == 0)
        return;
    dt_api_fail(a, err);
    dt_api_unref(a);
}

void dt_api_sandbox_recover(struct dt_api_req *a)
{
    struct dt_rest_recover_query in;
    struct dt_err err;
    struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    if (dt_rest_recover_query_parse_query(dt_http_req_query(a->http), &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    (void)dt_api_ref(a);
    after(a, dt_lifecycle_recover(a->rd, l, !in.skip_start, dt_api_on_row, a, &err), &err);
    dt_rest_recover_query_done(&in);
}

void dt_api_sandbox_backup(struct dt_api_req *a)
{
    struct dt_err err;
    struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    (void)dt_api_ref(a);
    after(a, dt_backup_start(a->rd, l, dt_api_on_row, a, &err), &err);
}

void dt_api_sandbox_resize(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_resize_sandbox in;
    struct dt_err err;
    bool already = false;
    struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    if (dt_rest_resize_sandbox_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    const struct dt_resize_ask ask = {in.cpu, in.memory, in.disk};
    (void)dt_api_ref(a);
    after(a, dt_lifecycle_resize(a->rd, l, &ask, dt_api_on_row, a, &already, &err), &err);
    if (already) {
        dt_api_unref(a);
        dt_api_read(a);
    }
    dt_rest_resize_sandbox_done(&in);
}

static int fork_named(struct dt_api_req *a, struct dt_live *l, const char *name, struct dt_err *err)
{
    if (name != NULL && name[0] == '\0')
        name = NULL;
    if (name != NULL && dt_name_check(dt_str_z(name), err) < 0)
        return -1;
    return dt_lifecycle_fork(a->rd, l, name, dt_api_on_row, a, err);
}

void dt_api_sandbox_fork(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_fork_sandbox in;
    struct dt_err err;
    struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    if (dt_rest_fork_sandbox_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    (void)dt_api_ref(a);
    after(a, fork_named(a, l, in.name, &err), &err);
    dt_rest_fork_sandbox_done(&in);
}

static int set_network(struct dt_api_req *a, struct dt_live *l,
                       const struct dt_rest_update_sandbox_network_settings *in, struct dt_err *err)
{
    const struct dt_network_ask ask = {in->has_network_block_all, in->network_block_all,
                                       in->network_allow_list};
    if (in->domain_allow_list != NULL && in->domain_allow_list[0] != '\0')
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "domainAllowList: this server cannot filter by domain yet. Use "
                          "networkAllowList with IPv4 networks");
    return dt_network_set(a->rd, l, &ask, dt_api_on_row, a, err);
}

void dt_api_sandbox_network(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_update_sandbox_network_settings in;
    struct dt_err err;
    struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    if (dt_rest_update_sandbox_network_settings_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    (void)dt_api_ref(a);
    after(a, set_network(a, l, &in, &err), &err);
    dt_rest_update_sandbox_network_settings_done(&in);
}
