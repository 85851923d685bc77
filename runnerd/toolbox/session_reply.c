#include "toolbox/session_reply.h"

#include <stdio.h>

#include "toolbox/reply.h"

enum { CHUNK = 16 * 1024 };

enum more { OVER, MORE, NO_NEWS, FAILED };

void dt_session_reply_init(struct dt_session_reply *r, struct dt_http_req *req)
{
    r->req = req;
    r->gates = dt_sdk_gates_of(req);
    dt_buf_init(&r->out, CHUNK + (size_t)DT_LOGTEXT_PART_MAX);
}

void dt_session_reply_done(struct dt_session_reply *r)
{
    if (r->job != NULL) {
        dt_job_read_stop(r->job, &r->reader);
        dt_job_unref(r->job);
    }
    dt_buf_done(&r->out);
}

/* --- the parts --- */

static void add_text(struct dt_session_reply *r, const char *text)
{
    struct dt_session_reply_part *p = &r->parts[r->nparts++];
    (void)snprintf(p->text, sizeof(p->text), "%s", text);
}

static void add_log(struct dt_session_reply *r, enum dt_logtext_form form)
{
    struct dt_session_reply_part *p = &r->parts[r->nparts++];
    p->form = form;
    p->is_log = true;
}

static void add_streams(struct dt_session_reply *r)
{
    bool plain = r->gates.combined || r->gates.demuxed; /* those show it as it comes */
    add_log(r, plain ? DT_LOGTEXT_COMBINED : DT_LOGTEXT_MARKED);
    if (!r->gates.demuxed) {
        add_text(r, "\",\"stdout\":null,\"stderr\":null}");
        return;
    }
    add_text(r, "\",\"stdout\":\"");
    add_log(r, DT_LOGTEXT_OUT);
    add_text(r, "\",\"stderr\":\"");
    add_log(r, DT_LOGTEXT_ERR);
    add_text(r, "\"}");
}

static enum more add_log_part(struct dt_session_reply *r, const struct dt_session_reply_part *p)
{
    if (!r->inside) {
        dt_logtext_init(&r->text, p->form, r->json);
        r->text.until = r->until;
    }
    r->inside = true;
    int got = dt_logtext_next(&r->text, dt_job_journal(r->job), &r->out, NULL);
    if (got != 0)
        return got < 0 ? FAILED : MORE;
    if (r->follow && !dt_job_is_over(r->job))
        return NO_NEWS;
    r->inside = false;
    r->at++;
    return dt_logtext_end(&r->text, &r->out, NULL) < 0 ? FAILED : MORE;
}

static enum more fill(struct dt_session_reply *r)
{
    enum more more = MORE;
    while (more == MORE && r->out.n < CHUNK) {
        const struct dt_session_reply_part *p = &r->parts[r->at];
        if (r->at == r->nparts) {
            more = OVER;
        } else if (p->is_log) {
            more = add_log_part(r, p);
        } else {
            more = dt_buf_addz(&r->out, p->text, NULL) < 0 ? FAILED : MORE;
            r->at++;
        }
    }
    return more;
}

/* --- sending --- */

static void begin(struct dt_session_reply *r)
{
    if (r->begun)
        return;
    r->begun = true;
    dt_http_req_add_header(r->req, "Content-Type", dt_str_z(r->type));
    dt_http_req_begin(r->req, 200, UINT64_MAX);
}

/* Returns whether there is more to do now. */
static bool send_some(struct dt_session_reply *r)
{
    enum more more = fill(r);
    if (more == FAILED) {
        dt_http_req_abort(r->req);
        return false;
    }
    if (more == OVER && !r->begun) {
        dt_http_req_reply(r->req, 200, r->type, r->out.p, r->out.n);
        return false;
    }
    begin(r);
    if (r->out.n > 0)
        r->full = !dt_http_req_write(r->req, r->out.p, r->out.n);
    dt_buf_clear(&r->out);
    if (more == OVER) {
        dt_http_req_end(r->req);
        return false;
    }
    return more == MORE && !r->full;
}

static void pump(void *ctx)
{
    struct dt_session_reply *r = ctx;
    while (!r->full && send_some(r))
        ;
}

static void on_drain(void *ctx)
{
    struct dt_session_reply *r = ctx;
    r->full = false;
    pump(r);
}

static void start(struct dt_session_reply *r, const char *type)
{
    r->type = type;
    if (!r->follow) /* what comes meanwhile may never end */
        r->until = dt_journal_end(dt_job_journal(r->job));
    dt_http_req_on_drain(r->req, on_drain, r);
    if (!dt_str_eq(dt_http_req_method(r->req), DT_STR("HEAD"))) {
        pump(r);
        return;
    }
    begin(r);
    dt_http_req_end(r->req);
}

/* --- the answers --- */

static void keep(struct dt_session_reply *r, struct dt_job *job, void (*on_news)(void *ctx))
{
    r->job = dt_job_ref(job);
    r->reader = (struct dt_job_reader){.on_news = on_news, .ctx = r};
    r->until = UINT64_MAX;
}

static void result(struct dt_session_reply *r)
{
    struct dt_err err;
    char head[128];
    if (dt_job_is_cancelled(r->job) || dt_job_never_ran(r->job)) {
        if (dt_job_is_cancelled(r->job))
            (void)dt_err_set(&err, DT_E_BAD_REQUEST, "session cancelled");
        else
            (void)dt_err_set(&err, DT_E_SESSION_ENDED,
                             "the session's shell ended before this command began");
        dt_reply_error(r->req, &err);
        return;
    }
    (void)snprintf(head, sizeof(head), "{\"cmdId\":\"%s\",\"exitCode\":%d,\"output\":\"",
                   dt_job_id(r->job), dt_job_exit_code(r->job));
    r->json = true;
    add_text(r, head);
    add_streams(r);
    start(r, "application/json; charset=utf-8");
}

static void on_over(void *ctx)
{
    struct dt_session_reply *r = ctx;
    if (!dt_job_is_over(r->job))
        return;
    dt_job_read_stop(r->job, &r->reader);
    result(r);
}

void dt_session_reply_result(struct dt_session_reply *r, struct dt_job *job)
{
    keep(r, job, on_over);
    if (dt_job_is_over(job))
        result(r);
    else
        dt_job_read(job, &r->reader);
}

void dt_session_reply_log(struct dt_session_reply *r, struct dt_job *job)
{
    keep(r, job, NULL);
    r->json = r->gates.demuxed;
    if (r->json) {
        add_text(r, "{\"output\":\"");
        add_streams(r);
    } else {
        add_log(r, r->gates.combined ? DT_LOGTEXT_COMBINED : DT_LOGTEXT_MARKED);
    }
    start(r, r->json ? "application/json; charset=utf-8" : "text/plain; charset=utf-8");
}

void dt_session_reply_follow(struct dt_session_reply *r, struct dt_job *job)
{
    keep(r, job, pump);
    r->follow = true;
    add_log(r, DT_LOGTEXT_COMBINED);
    dt_job_read(job, &r->reader);
    start(r, "application/octet-stream");
}
