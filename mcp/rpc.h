/*
 * JSON-RPC 2.0 messages: what a line is, and the text of answers.
 */
#ifndef DT_RPC_H
#define DT_RPC_H

#include "json/json.h"

enum {
    DT_RPC_PARSE_ERROR = -32700,
    DT_RPC_INVALID_REQUEST = -32600,
    DT_RPC_METHOD_NOT_FOUND = -32601,
    DT_RPC_INVALID_PARAMS = -32602,
    DT_RPC_INTERNAL = -32603,
    DT_RPC_RESOURCE_NOT_FOUND = -32002, /* before 2026-07-28 only */
    DT_RPC_UNSUPPORTED_VERSION = -32022,
    DT_RPC_DEPTH_MAX = 64,
    DT_RPC_BATCH_MAX = 1000,
};

enum dt_rpc_kind {
    DT_RPC_REQUEST,
    DT_RPC_NOTIFICATION,
    DT_RPC_RESPONSE, /* to a request that we never make */
    DT_RPC_BROKEN,   /* answer it with `why` */
};

/* A view into the parsed value. */
struct dt_rpc_msg {
    enum dt_rpc_kind kind;
    const json_t *id;   /* string or number; NULL when absent or unusable */
    const char *method; /* requests and notifications */
    json_t *params;     /* an object, or NULL when absent */
    int code;           /* of a broken message */
    const char *why;
};

/* The id in a line that dt_json_parse refuses for a number too large or a name given twice, so that
 * the client learns which of its calls failed; NULL when there is none. A new reference. */
json_t *dt_rpc_salvage_id(struct dt_str line);

/* `one` is one element of a batch or a whole line that is no array. */
void dt_rpc_classify(json_t *one, struct dt_rpc_msg *ret);

/* What a failed request is answered with. `data` is a JSON text or empty. */
struct dt_rpc_err {
    int code;
    char msg[512];
    char data[1024];
};
/* Returns -1. The message is made valid UTF-8 when it is written. */
int dt_rpc_err_set(struct dt_rpc_err *err, int code, const char *fmt, ...) DT_PRINTF(3, 4);

/* Appends a JSON string, quotes included, with invalid UTF-8 replaced by U+FFFD. */
int dt_rpc_add_text(struct dt_buf *out, struct dt_str text, struct dt_err *err) DT_MUST_CHECK;
/* `id` NULL writes null. */
int dt_rpc_add_error(struct dt_buf *out, const json_t *id, const struct dt_rpc_err *why,
                     struct dt_err *err) DT_MUST_CHECK;
/* `first` and `members` make up the inside of the result object, as `"a":1,"b":2`; both may be
 * empty. */
int dt_rpc_add_result(struct dt_buf *out, const json_t *id, struct dt_str first,
                      struct dt_str members, struct dt_err *err) DT_MUST_CHECK;

#endif
