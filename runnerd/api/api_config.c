#include "gen/openapi.h"
#include "runnerd/api/api_limit.h"

void dt_api_health(struct dt_api_req *a)
{
    const struct dt_rest_health h = {.status = "ok", .version = DT_VERSION};
    dt_api_reply(a, dt_rest_health_print(&h));
}

static int ready_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct dt_db_rows *q;
    (void)arg;
    if (dt_db_query(c, "SELECT 1 FROM organization LIMIT 1", NULL, &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

static void ready_done(void *arg, const struct dt_err *err)
{
    struct dt_api_req *a = arg;
    struct dt_err why;
    if (err == NULL && dt_launcher_client_is_up(a->rd->launcher)) {
        dt_api_health(a);
    } else {
        (void)dt_err_set(&why, DT_E_UNAVAILABLE, "%s",
                         err != NULL ? err->msg : "the launcher cannot be reached");
        dt_api_fail(a, &why);
    }
    dt_api_unref(a);
}

/* Alive is not enough: the store answers and sandboxes can be made. */
void dt_api_health_ready(struct dt_api_req *a)
{
    struct dt_err err;
    if (dt_db_submit_read(a->rd->db, ready_job, dt_api_ref(a), ready_done, &err) < 0)
        ready_done(a, &err);
}

static const char *if_set(const char *z)
{
    return z != NULL && z[0] != '\0' ? z : NULL;
}

static json_t *posthog(const struct dt_config_runnerd *config)
{
    const struct dt_rest_posthog out = {.api_key = if_set(config->posthog_api_key),
                                        .host = if_set(config->posthog_host)};
    return out.api_key != NULL && out.host != NULL ? dt_rest_posthog_print(&out) : NULL;
}

void dt_api_openapi(struct dt_api_req *a)
{
    dt_api_reply_as(a, "application/json; charset=utf-8", dt_str(dt_openapi, dt_openapi_size));
}

void dt_api_metrics(struct dt_api_req *a)
{
    DT_AUTO_BUF struct dt_buf text;
    struct dt_err err;
    dt_buf_init(&text, (size_t)16 << 20);
    if (dt_metrics_print(a->rd, &text, &err) < 0)
        dt_api_fail(a, &err);
    else
        dt_api_reply_as(a, "text/plain; version=0.0.4; charset=utf-8", dt_buf_str(&text));
}

void dt_api_config_get(struct dt_api_req *a)
{
    const struct dt_runnerd *rd = a->rd;
    const struct dt_config_runnerd *config = rd->config;
    bool login = rd->oidc != NULL;
    bool public = config->public_oidc_domain != NULL && config->public_oidc_domain[0] != '\0';
    const struct dt_rest_oidc oidc = {
        .issuer = !login   ? ""
                  : public ? config->public_oidc_domain
                           : config->oidc_issuer_base_url,
        .client_id = login ? config->oidc_client_id : "",
        .audience = login ? config->oidc_audience : "",
        .provider = "",
    };
    DT_AUTO_JSON json_t *oidc_json = dt_rest_oidc_print(&oidc);
    DT_AUTO_JSON json_t *announcements = json_object();
    DT_AUTO_JSON json_t *analytics = posthog(config);
    DT_AUTO_JSON json_t *limits = dt_api_limits_json(config);
    const struct dt_rest_configuration c = {
        .version = DT_VERSION,
        .oidc = oidc_json,
        .linked_accounts_enabled = false,
        .has_linked_accounts_enabled = true,
        .announcements = announcements,
        .proxy_template_url = rd->proxy_template,
        .proxy_toolbox_url = rd->toolbox_base,
        .default_snapshot = rd->config->default_snapshot,
        .dashboard_url = rd->dashboard_url,
        .max_auto_archive_interval = rd->config->max_auto_archive_interval,
        .has_max_auto_archive_interval = true,
        .maintanance_mode = false,
        .has_maintanance_mode = true,
        .environment = rd->config->environment,
        .posthog = analytics,
        .pylon_app_id = if_set(config->pylon_app_id),
        .billing_api_url = if_set(config->billing_api_url),
        .analytics_api_url = if_set(config->analytics_api_url),
        .ssh_gateway_command = if_set(config->ssh_gateway_command),
        .rate_limit = limits,
        .ssh_gateway_public_key = if_set(config->ssh_gateway_public_key),
    };
    dt_api_reply(a, dt_rest_configuration_print(&c));
}
