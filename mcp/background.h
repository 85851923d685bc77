/*
 * Commands that run on in a sandbox after the call that started them. Each is the first command of
 * a session of its own, named by `SESSION:COMMAND`, which is all that there is to know: ids outlive
 * this program. A session's shell ends behind its command.
 */
#ifndef DT_BACKGROUND_H
#define DT_BACKGROUND_H

#include "mcp/tool.h"

enum { DT_BACKGROUND_ID_MAX = 128 };

struct dt_background_id {
    char session[DT_BACKGROUND_ID_MAX];
    char command[DT_BACKGROUND_ID_MAX];
};

/* A new name for a session; later ones sort behind it. */
void dt_background_name(char session[DT_BACKGROUND_ID_MAX]);
/* INVALID when the text is no id that start_command gave. */
int dt_background_parse(const char *text, struct dt_background_id *ret,
                        struct dt_err *err) DT_MUST_CHECK;
bool dt_background_is_ours(const char *session);

struct dt_background_read {
    const char *sandbox;
    const struct dt_background_id *id;
    int64_t cursor;
    double wait; /* seconds */
    bool until_end;
};
/* Asks for what it printed since the cursor; the answer goes to `then`. On -1 nothing was asked,
 * and the call is still the caller's to answer. */
int dt_background_fetch(struct dt_call *c, const struct dt_background_read *read,
                        void (*then)(struct dt_call *c, const struct dt_api_reply *reply,
                                     const struct dt_err *err),
                        struct dt_err *err) DT_MUST_CHECK;
/* {commandId, output, ...} of its answer; NULL for want of memory. */
json_t *dt_background_show(const struct dt_background_id *id, const json_t *reply);
/* Answers the call with that, or with why there is no answer. */
void dt_background_give(struct dt_call *c, const struct dt_background_id *id,
                        const struct dt_api_reply *reply, const struct dt_err *err);
/* Ends the session without waiting for that. */
void dt_background_drop(struct dt_call *c, const char *sandbox, const char *session);
/* dt_tool_fail() with what to do about a command that is gone or over. */
void dt_background_fail(struct dt_call *c, const struct dt_err *err);

#endif
