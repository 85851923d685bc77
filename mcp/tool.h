/*
 * The tools. Each is one const entry and one function in tools/tool_<name>.c; its schema is
 * schemas/mcp/<name>.json.
 */
#ifndef DT_TOOL_H
#define DT_TOOL_H

#include "gen/mcp_tools.h"
#include "mcp/session.h"

struct dt_tool {
    size_t state_size; /* of the struct whose first member is the generated input */
    int (*parse)(json_t *args, void *state, struct dt_err *err);
    void (*done)(void *state);
    void (*run)(struct dt_call *c); /* c->state is filled; must lead to one of the ends below */
    const char *doing;              /* what progress notifications say */
};

/* Defines the two trampolines of a tool whose state begins with `struct dt_mcp_<name>_in in`. */
#define DT_TOOL_INPUT(name)                                                                        \
    static int parse_input(json_t *args, void *state, struct dt_err *err)                          \
    {                                                                                              \
        return dt_mcp_##name##_in_parse(args, state, err);                                         \
    }                                                                                              \
    static void done_input(void *state)                                                            \
    {                                                                                              \
        dt_mcp_##name##_in_done(state);                                                            \
    }

#include "gen/mcp_handlers.h"

/* tools/list and tools/call. */
void dt_tools_list(struct dt_call *c);
void dt_tools_call(struct dt_call *c);

/* --- the ends of a tools/call --- */
/* The result as structured content and as the same text. Takes the reference; NULL means out of
 * memory. */
void dt_tool_result(struct dt_call *c, json_t *structured);
/* The same, for a result that depends on nothing but `reply`: the others who share it get a copy.
 */
void dt_tool_result_of(struct dt_call *c, const struct dt_api_reply *reply,
                       json_t *(*make)(const json_t *reply));
/* With further content blocks: JSON objects, each after a comma. */
void dt_tool_result_with(struct dt_call *c, json_t *structured, struct dt_str blocks);
/* Content blocks alone: JSON objects with commas between. */
void dt_tool_blocks(struct dt_call *c, struct dt_str blocks);
/* The whole inside of the result. */
void dt_tool_members(struct dt_call *c, struct dt_str members);
/* isError: the cause, and the next call to make. `hint` NULL takes the usual one for the error. */
void dt_tool_fail(struct dt_call *c, const struct dt_err *err, const char *hint);
void dt_tool_failf(struct dt_call *c, const char *fmt, ...) DT_PRINTF(2, 3);

/* --- shared by tools --- */
/* Members `names` (ended by NULL) of `from`, without nulls; a new object. */
json_t *dt_tool_pick(const json_t *from, const char *const *names);
/* What the server takes for a path: `~` and what is below it are of the home folder, where relative
 * paths begin. Borrowed from `path`. */
const char *dt_tool_path(const char *path);
/* `sandbox://{id}/{+path}`; relative paths and queries get no special treatment. */
int dt_tool_uri(struct dt_buf *out, const char *id, const char *path,
                struct dt_err *err) DT_MUST_CHECK;
/* Appends `,{"type":"resource_link",...}` where the revision has links; else nothing. `size` below
 * 0 is unknown. */
int dt_tool_add_link(const struct dt_call *c, struct dt_buf *out, const char *uri, const char *name,
                     int64_t size, struct dt_err *err) DT_MUST_CHECK;
/* GET /sandbox/{id}. */
void dt_tool_fetch_sandbox(struct dt_call *c, const char *id,
                           void (*then)(struct dt_call *c, const struct dt_api_reply *reply,
                                        const struct dt_err *err));
/* POST of `body` (taken; NULL: out of memory) to an operation of a sandbox's toolbox that runs a
 * program: for `timeout` seconds, which it adds to the body, and waits some more; 0: as long as the
 * program takes, for a day at most. Takes over `r`, from dt_api_req_init(), with the limits that
 * the caller has set. */
void dt_tool_post_run(struct dt_call *c, struct dt_api_req *r, const char *id,
                      const char *operation, json_t *body, double timeout,
                      void (*then)(struct dt_call *c, const struct dt_api_reply *reply,
                                   const struct dt_err *err));
/* What a model should do about `err`. */
const char *dt_tool_hint(const struct dt_err *err);

#endif
