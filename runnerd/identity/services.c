#include "runnerd/identity/services.h"

#include "base/rand.h"

enum { KEY_MIN = 16 };

static int add(struct dt_services *s, enum dt_service service, const char *setting, const char *key,
               struct dt_err *err)
{
    uint8_t hash[DT_HASH_SIZE];
    if (key == NULL || key[0] == '\0')
        return 0;
    if (strlen(key) < KEY_MIN)
        return dt_err_set(err, DT_E_INVALID,
                          "%s must have at least %d characters, for example from: openssl rand "
                          "-hex 32",
                          setting, KEY_MIN);
    dt_hash(dt_str_z(key), hash);
    if (dt_services_find(s, hash) != 0)
        return dt_err_set(err, DT_E_INVALID, "%s: another service has the same key", setting);
    s->keys[s->n].service = service;
    memcpy(s->keys[s->n].hash, hash, sizeof(hash));
    s->n++;
    return 0;
}

int dt_services_load(struct dt_services *s, const struct dt_config_runnerd *config,
                     struct dt_err *err)
{
    memset(s, 0, sizeof(*s));
    if (add(s, DT_SERVICE_PROXY, "PROXY_API_KEY", config->proxy_api_key, err) < 0 ||
        add(s, DT_SERVICE_SSH_GATEWAY, "SSH_GATEWAY_API_KEY", config->ssh_gateway_api_key, err) <
            0 ||
        add(s, DT_SERVICE_HEALTH_CHECK, "HEALTH_CHECK_API_KEY", config->health_check_api_key, err) <
            0 ||
        add(s, DT_SERVICE_RUNNER, "DEFAULT_RUNNER_API_KEY", config->default_runner_api_key, err) <
            0 ||
        add(s, DT_SERVICE_OTEL_COLLECTOR, "OTEL_COLLECTOR_API_KEY", config->otel_collector_api_key,
            err) < 0)
        return -1;
    return 0;
}

uint32_t dt_services_find(const struct dt_services *s, const uint8_t hash[DT_HASH_SIZE])
{
    uint32_t found = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (dt_equal_secret(s->keys[i].hash, hash, DT_HASH_SIZE))
            found = s->keys[i].service;
    }
    return found;
}
