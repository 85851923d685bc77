#include "mcp/era.h"

#include <stdio.h>

#define META "io.modelcontextprotocol/"

static const char *const texts[] = {
    [DT_ERA_NONE] = "none",
    [DT_ERA_2024_11_05] = "2024-11-05",
    [DT_ERA_2025_03_26] = "2025-03-26",
    [DT_ERA_2025_06_18] = "2025-06-18",
    [DT_ERA_2025_11_25] = "2025-11-25",
    [DT_ERA_2026_07_28] = "2026-07-28",
};

static const char *const log_levels[] = {"debug", "info",     "notice", "warning",
                                         "error", "critical", "alert",  "emergency"};

const char *dt_era_text(enum dt_era era)
{
    return texts[era];
}

enum dt_era dt_era_negotiate(const char *asked)
{
    for (enum dt_era e = DT_ERA_2024_11_05; e <= DT_ERA_NEWEST_LEGACY; e++) {
        if (asked != NULL && strcmp(asked, texts[e]) == 0)
            return e;
    }
    return DT_ERA_NEWEST_LEGACY;
}

bool dt_era_has_batches(enum dt_era agreed)
{
    return agreed == DT_ERA_2024_11_05 || agreed == DT_ERA_2025_03_26;
}

static int unsupported(const json_t *version, struct dt_rpc_err *err)
{
    DT_AUTO_BUF struct dt_buf asked;
    dt_buf_init(&asked, 256);
    bool short_enough = dt_json_write(version, &asked, NULL) == 0;
    (void)dt_rpc_err_set(err, DT_RPC_UNSUPPORTED_VERSION, "unsupported protocol version");
    (void)snprintf(err->data, sizeof(err->data), "{\"supported\":[\"%s\"],\"requested\":%s}",
                   texts[DT_ERA_MODERN], short_enough ? asked.p : "\"\"");
    return -1;
}

static int check_level(const json_t *level, struct dt_rpc_err *err)
{
    const char *z = json_string_value(level);
    for (size_t i = 0; z != NULL && i < sizeof(log_levels) / sizeof(log_levels[0]); i++) {
        if (strcmp(z, log_levels[i]) == 0)
            return 0;
    }
    return level == NULL ? 0
                         : dt_rpc_err_set(err, DT_RPC_INVALID_PARAMS,
                                          "_meta member " META "logLevel is not a log level");
}

static int check_modern(const json_t *meta, struct dt_rpc_err *err)
{
    const json_t *client = json_object_get(meta, META "clientInfo");
    if (!json_is_object(json_object_get(meta, META "clientCapabilities")))
        return dt_rpc_err_set(err, DT_RPC_INVALID_PARAMS,
                              "_meta member " META "clientCapabilities is required, an object");
    if (client != NULL && !json_is_object(client))
        return dt_rpc_err_set(err, DT_RPC_INVALID_PARAMS,
                              "_meta member " META "clientInfo must be an object");
    return check_level(json_object_get(meta, META "logLevel"), err);
}

/* A client that sends one of these is a modern one that forgot the version. */
static bool looks_modern(const json_t *meta)
{
    return json_object_get(meta, META "clientCapabilities") != NULL ||
           json_object_get(meta, META "clientInfo") != NULL ||
           json_object_get(meta, META "logLevel") != NULL;
}

int dt_era_of(const char *method, const json_t *params, enum dt_era agreed, enum dt_era *ret,
              struct dt_rpc_err *err)
{
    const json_t *meta = json_object_get(params, "_meta");
    const json_t *version = json_object_get(meta, META "protocolVersion");
    if (meta != NULL && !json_is_object(meta) && !json_is_null(meta))
        return dt_rpc_err_set(err, DT_RPC_INVALID_PARAMS, "_meta must be an object");
    if (version == NULL && looks_modern(meta))
        return dt_rpc_err_set(err, DT_RPC_INVALID_PARAMS,
                              "_meta member " META "protocolVersion is required");
    if (version == NULL) {
        bool modern = strcmp(method, "server/discover") == 0;
        *ret = modern ? DT_ERA_2026_07_28 : agreed != DT_ERA_NONE ? agreed : DT_ERA_2025_11_25;
        return 0;
    }
    if (!json_is_string(version))
        return dt_rpc_err_set(err, DT_RPC_INVALID_PARAMS,
                              "_meta member " META "protocolVersion must be a string");
    if (strcmp(json_string_value(version), texts[DT_ERA_MODERN]) != 0)
        return unsupported(version, err);
    if (check_modern(meta, err) < 0)
        return -1;
    *ret = DT_ERA_2026_07_28;
    return 0;
}
