#include "toolbox/lsp_op.h"

#include <malloc.h>

#include "base/clock.h"
#include "toolbox/lsp_project.h"
#include "toolbox/lsp_result.h"
#include "toolbox/lsp_server.h"
#include "toolbox/lsp_uri.h"
#include "toolbox/reply.h"
#include "toolbox/work.h"

enum {
    CALL_MS = 30 * 1000,
    WALK_MS = 20 * 1000, /* a walk through a project answers with what it has then */
};

/*
 * PARSED  -> FINDING | READING | AWAITING | DONE
 * FINDING -> READING | CALLING | DONE    a thread looks for the project's files (workspace symbols)
 * READING -> AWAITING | READING | DONE   a thread reads the document
 * AWAITING -> CALLING | DONE             the server starts
 * CALLING -> READING | AWAITING | DONE   the server works; a walk goes on with its next document,
 *                                        and an operation whose server died begins once more
 * DONE: answered, or nobody waits any more
 */
enum state { PARSED, FINDING, READING, AWAITING, CALLING, DONE };

struct dt_lsp_op {
    enum state state;
    enum dt_lsp_kind kind;
    struct dt_toolbox *tb;
    struct dt_http_req *req; /* NULL: nobody waits any more */
    const struct dt_lsp_language *language;
    uint64_t server, call; /* numbers */
    char *project, *query;
    json_t *position, *context;
    char *path, *uri; /* of the document that is worked on; NULL: none is */
    struct dt_buf text;
    bool retried;
    bool shown;   /* the server has it open for us */
    bool working; /* in a thread, which reads all above and writes what is below */
    bool failed;
    bool walks; /* document by document: the server does not know the project */
    struct dt_err err;
    struct dt_lsp_files files;
    size_t at;
    uint64_t start_ms;
    json_t *symbols;
    bool cut;
    struct dt_lsp_wait wait;
};

/* --- the end --- */

static void drop_document(struct dt_lsp_op *o)
{
    if (o->shown)
        dt_lsp_server_hide(o->server, o->uri);
    o->shown = false;
    free(o->path);
    free(o->uri);
    o->path = o->uri = NULL;
    dt_buf_done(&o->text);
}

static void op_free(struct dt_lsp_op *o)
{
    drop_document(o);
    free(o->project);
    free(o->query);
    json_decref(o->position);
    json_decref(o->context);
    json_decref(o->symbols);
    dt_lsp_files_done(&o->files);
    free(o);
    (void)malloc_trim(0);
}

static void on_done(void *ctx, bool complete)
{
    struct dt_lsp_op *o = ctx;
    (void)complete;
    if (o->state == AWAITING)
        dt_lsp_server_unwait(o->server, &o->wait);
    if (o->state == CALLING)
        dt_lsp_server_cancel(o->server, o->call);
    o->state = DONE;
    o->req = NULL;
    if (!o->working)
        op_free(o);
}

/* The op is gone after each of these. */
void dt_lsp_op_fail(struct dt_lsp_op *o, const struct dt_err *err)
{
    o->state = DONE;
    dt_reply_error(o->req, err);
}

static void succeed(struct dt_lsp_op *o)
{
    o->state = DONE;
    dt_reply_empty(o->req, 200);
}

static void succeed_with(struct dt_lsp_op *o, json_t *body)
{
    o->state = DONE;
    if (o->cut)
        dt_http_req_add_header(o->req, "X-Daytona-Truncated", DT_STR("true"));
    dt_reply_json(o->req, 200, body);
}

/* --- asking the server --- */

static void read_next(struct dt_lsp_op *o);
static void await_server(struct dt_lsp_op *o);
static void start_work(struct dt_lsp_op *o, enum state next, void (*work)(void *ctx),
                       void (*done)(void *ctx));
static void work_read(void *ctx);
static void on_read(void *ctx);

static json_t *this_document(const struct dt_lsp_op *o)
{
    return json_pack("{s:s}", "uri", o->uri);
}

/* The answer to a document's symbols, of a walk or alone. */
static void on_symbols(struct dt_lsp_op *o, json_t *result)
{
    const char *uri = o->uri != NULL ? o->uri : "";
    const char *query = o->kind == DT_LSP_WORKSPACE_SYMBOLS && o->walks ? o->query : NULL;
    if (!dt_lsp_symbols_add(o->symbols, result, uri, query))
        o->cut = true;
    if (!o->walks) {
        succeed_with(o, json_incref(o->symbols));
        return;
    }
    drop_document(o);
    o->at++;
    read_next(o);
}

/* A server that ended need not be the client's business: it gets a second chance. */
static void retry_or_fail(struct dt_lsp_op *o, const struct dt_err *err)
{
    if (err->code != DT_E_UNREACHABLE || o->retried) {
        dt_lsp_op_fail(o, err);
        return;
    }
    o->retried = true;
    if (o->uri == NULL) {
        await_server(o);
        return;
    }
    if (o->shown)
        dt_lsp_server_hide(o->server, o->uri);
    o->shown = false;
    dt_buf_done(&o->text);
    start_work(o, READING, work_read, on_read);
}

static void on_answer(void *ctx, json_t *result, const struct dt_err *err)
{
    struct dt_lsp_op *o = ctx;
    o->state = DONE;
    if (err != NULL)
        retry_or_fail(o, err);
    else if (o->kind == DT_LSP_COMPLETIONS)
        succeed_with(o, dt_lsp_completions(result));
    else
        on_symbols(o, result);
}

static json_t *parameters(const struct dt_lsp_op *o)
{
    if (o->kind == DT_LSP_COMPLETIONS && o->context != NULL)
        return json_pack("{s:o, s:O, s:O}", "textDocument", this_document(o), "position",
                         o->position, "context", o->context);
    if (o->kind == DT_LSP_COMPLETIONS)
        return json_pack("{s:o, s:O}", "textDocument", this_document(o), "position", o->position);
    if (o->kind == DT_LSP_WORKSPACE_SYMBOLS && !o->walks)
        return json_pack("{s:s}", "query", o->query);
    return json_pack("{s:o}", "textDocument", this_document(o));
}

static void on_server_ready(void *ctx, const struct dt_err *err)
{
    struct dt_lsp_op *o = ctx;
    struct dt_err why;
    o->state = DONE;
    if (err != NULL) {
        why = *err;
        if (o->kind == DT_LSP_START)
            dt_lsp_server_drop(o->server);
        dt_lsp_op_fail(o, &why);
        return;
    }
    if (o->kind == DT_LSP_START) {
        succeed(o);
        return;
    }
    if (o->uri != NULL && dt_lsp_server_show(o->server, o->uri, dt_buf_str(&o->text),
                                             o->kind == DT_LSP_DID_OPEN, &why) < 0) {
        retry_or_fail(o, &why);
        return;
    }
    o->shown = o->uri != NULL;
    dt_buf_done(&o->text);
    if (o->kind == DT_LSP_DID_OPEN) {
        succeed(o);
        return;
    }
    const char *method = o->kind == DT_LSP_COMPLETIONS ? "textDocument/completion"
                         : o->kind == DT_LSP_WORKSPACE_SYMBOLS && !o->walks
                             ? "workspace/symbol"
                             : "textDocument/documentSymbol";
    o->call = dt_lsp_server_call(o->server, method, parameters(o), CALL_MS, on_answer, o, &why);
    if (o->call == 0)
        retry_or_fail(o, &why);
    else
        o->state = CALLING;
}

static void await_server(struct dt_lsp_op *o)
{
    struct dt_err err;
    o->wait = (struct dt_lsp_wait){.on_ready = on_server_ready, .ctx = o};
    o->state = AWAITING;
    int r = dt_lsp_server_await(o->server, &o->wait, &err);
    if (r != 0)
        on_server_ready(o, r < 0 ? &err : NULL);
}

/* --- in a thread --- */

static void work_read(void *ctx)
{
    struct dt_lsp_op *o = ctx;
    o->failed = dt_lsp_document_read(o->path, &o->text, &o->err) < 0;
}

static void work_find(void *ctx)
{
    struct dt_lsp_op *o = ctx;
    o->walks = !dt_lsp_project_has(o->project, o->language->configs);
    /* Any document of a configured project makes the server load all of it. */
    o->failed = dt_lsp_project_find(o->project, o->language->suffixes, o->walks ? o->query : "",
                                    &o->files, &o->err) < 0;
}

static void start_work(struct dt_lsp_op *o, enum state next, void (*work)(void *ctx),
                       void (*done)(void *ctx))
{
    struct dt_err err;
    o->state = next;
    o->working = true;
    if (dt_work_start(work, done, o, &err) == 0)
        return;
    o->working = false;
    dt_lsp_op_fail(o, &err);
}

static void on_read(void *ctx)
{
    struct dt_lsp_op *o = ctx;
    o->working = false;
    if (o->req == NULL) {
        op_free(o);
    } else if (!o->failed) {
        await_server(o);
    } else if (o->kind == DT_LSP_WORKSPACE_SYMBOLS) {
        /* It changed since it was found. */
        drop_document(o);
        o->at++;
        read_next(o);
    } else {
        dt_lsp_op_fail(o, &o->err);
    }
}

static void read_next(struct dt_lsp_op *o)
{
    bool late = dt_clock_ms() - o->start_ms >= WALK_MS;
    if (o->at >= o->files.n || late || o->cut) {
        o->cut = o->cut || o->files.cut || o->at < o->files.n;
        succeed_with(o, json_incref(o->symbols));
        return;
    }
    o->path = o->files.paths[o->at];
    o->files.paths[o->at] = NULL;
    o->uri = dt_lsp_path_uri(o->path);
    if (o->uri != NULL) {
        start_work(o, READING, work_read, on_read);
        return;
    }
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_NOMEM, "document");
    dt_lsp_op_fail(o, &err);
}

static void on_found(void *ctx)
{
    struct dt_lsp_op *o = ctx;
    o->working = false;
    if (o->req == NULL) {
        op_free(o);
        return;
    }
    if (o->failed) {
        dt_lsp_op_fail(o, &o->err);
        return;
    }
    read_next(o);
}

/* --- the beginning --- */

/* What every operation names. */
static int set_server(struct dt_lsp_op *o, const struct dt_lsp_args *args, struct dt_err *err)
{
    o->language = dt_lsp_language_find(args->language, err);
    if (o->language == NULL)
        return -1;
    o->project = dt_lsp_uri_path(&o->tb->guest, args->project, err);
    if (o->project == NULL)
        return dt_err_wrap(err, "pathToProject");
    if (o->kind == DT_LSP_START)
        return dt_lsp_server_add(o->tb, o->language, o->project, &o->server, err);
    int r = dt_lsp_server_find(o->language, o->project, &o->server, err);
    return o->kind == DT_LSP_STOP ? 0 : r; /* what is not there need not be stopped */
}

static int take_args(struct dt_lsp_op *o, const struct dt_lsp_args *args, struct dt_err *err)
{
    if (set_server(o, args, err) < 0)
        return -1;
    if (args->uri != NULL &&
        (o->path = dt_lsp_document_path(&o->tb->guest, o->project, args->uri, err)) == NULL)
        return -1;
    o->position = json_incref(args->position);
    o->context = json_incref(args->context);
    o->query = strdup(args->query != NULL ? args->query : "");
    o->symbols = json_array();
    o->uri = o->path != NULL ? dt_lsp_path_uri(o->path) : NULL;
    if (o->query == NULL || o->symbols == NULL || (o->path != NULL && o->uri == NULL))
        return dt_err_set(err, DT_E_NOMEM, "language server operation");
    return 0;
}

void dt_lsp_op_run(struct dt_lsp_op *o, const struct dt_lsp_args *args)
{
    struct dt_err err;
    if (take_args(o, args, &err) < 0) {
        dt_lsp_op_fail(o, &err);
        return;
    }
    switch (o->kind) {
    case DT_LSP_START:
        await_server(o);
        break;
    case DT_LSP_STOP:
        dt_lsp_server_stop(o->server);
        succeed(o);
        break;
    case DT_LSP_DID_CLOSE:
        dt_lsp_server_close(o->server, o->uri);
        succeed(o);
        break;
    case DT_LSP_DID_OPEN:
    case DT_LSP_COMPLETIONS:
    case DT_LSP_DOCUMENT_SYMBOLS:
        start_work(o, READING, work_read, on_read);
        break;
    case DT_LSP_WORKSPACE_SYMBOLS:
        start_work(o, FINDING, work_find, on_found);
        break;
    }
}

struct dt_lsp_op *dt_lsp_op_new(struct dt_toolbox *tb, struct dt_http_req *req,
                                enum dt_lsp_kind kind)
{
    struct dt_err err;
    struct dt_lsp_op *o = calloc(1, sizeof(*o));
    if (o == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "language server operation");
        dt_reply_error(req, &err);
        return NULL;
    }
    o->tb = tb;
    o->req = req;
    o->kind = kind;
    o->start_ms = dt_clock_ms();
    dt_buf_init(&o->text, 0); /* until a document is read */
    dt_http_req_on_done(req, on_done, o);
    return o;
}
