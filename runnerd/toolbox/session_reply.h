/* Answers made of logs: of any length, in constant memory. */
#ifndef DT_TOOLBOX_SESSION_REPLY_H
#define DT_TOOLBOX_SESSION_REPLY_H

#include "toolbox/logtext.h"
#include "toolbox/sdk.h"
#include "toolbox/session.h"

enum { DT_SESSION_REPLY_PARTS_MAX = 8 };

/* A text, or a log in some form. */
struct dt_session_reply_part {
    char text[128];
    enum dt_logtext_form form;
    bool is_log;
};

/* In the memory of the exchange's owner, until its on_done. */
struct dt_session_reply {
    struct dt_http_req *req;
    struct dt_sdk_gates gates;
    struct dt_job *job; /* NULL: not known yet */
    struct dt_job_reader reader;
    const char *type;
    struct dt_session_reply_part parts[DT_SESSION_REPLY_PARTS_MAX];
    unsigned nparts, at;
    struct dt_logtext text; /* of the current part */
    bool inside;            /* of it */
    uint64_t until;         /* where the log ends for this answer */
    bool json, follow;
    bool begun, full;
    struct dt_buf out;
};

/* What a path names: its session and, unless `job` is NULL, the session's command. NULL: there is
 * none; says so. */
struct dt_session *dt_session_find_path(const struct dt_str *segments, struct dt_job **job,
                                        struct dt_err *err);

/* Zeroed memory. */
void dt_session_reply_init(struct dt_session_reply *r, struct dt_http_req *req);
/* In on_done. */
void dt_session_reply_done(struct dt_session_reply *r);
/* {cmdId, output, stdout, stderr, exitCode}, when the job is over. */
void dt_session_reply_result(struct dt_session_reply *r, struct dt_job *job);
/* The log until now: text, or {output, stdout, stderr}. */
void dt_session_reply_log(struct dt_session_reply *r, struct dt_job *job);
/* The log to its end as a stream of bytes without markers. */
void dt_session_reply_follow(struct dt_session_reply *r, struct dt_job *job);

/* The same over a WebSocket: binary messages, markers unless `combined`; closed with 1000 at the
 * end. Takes over `req`, which has no on_done yet. */
void dt_session_socket(struct dt_toolbox *tb, struct dt_http_req *req, struct dt_job *job,
                       bool combined, bool follow);

#endif
