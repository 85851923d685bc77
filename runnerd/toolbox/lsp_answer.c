#include "toolbox/lsp_answer.h"

#include <string.h>

static json_t *one_null_each(const json_t *params)
{
    json_t *list = json_array();
    size_t n = json_array_size(json_object_get(params, "items"));
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(list, json_null());
    return list;
}

json_t *dt_lsp_answer_make(const char *method, const json_t *params, const char *root_uri)
{
    static const char *const nothing[] = {
        "client/registerCapability",        "client/unregisterCapability",
        "window/showMessageRequest",        "window/workDoneProgress/create",
        "workspace/semanticTokens/refresh", "workspace/codeLens/refresh",
        "workspace/diagnostic/refresh",     "workspace/inlayHint/refresh",
    };
    if (strcmp(method, "workspace/configuration") == 0)
        return one_null_each(params);
    if (strcmp(method, "workspace/workspaceFolders") == 0)
        return json_pack("[{s:s, s:s}]", "uri", root_uri, "name", "project");
    if (strcmp(method, "workspace/applyEdit") == 0)
        return json_pack("{s:b}", "applied", 0);
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
        if (strcmp(method, nothing[i]) == 0)
            return json_null();
    }
    return NULL;
}
