#include "runnerd/api/api.h"

void dt_api_health(struct dt_api_req *a)
{
    const struct dt_rest_health h = {.status = "ok", .version = DT_VERSION};
    dt_api_reply(a, dt_rest_health_print(&h));
}

void dt_api_config(struct dt_api_req *a)
{
    const struct dt_runnerd *rd = a->rd;
    const struct dt_config_runnerd *config = rd->config;
    bool login = rd->oidc != NULL, public = config->public_oidc_domain != NULL;
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
    };
    dt_api_reply(a, dt_rest_configuration_print(&c));
}
