#include "toolbox/lsp_server.h"

#include "toolbox/lsp_document.h"
#include "toolbox/lsp_uri.h"
#include "toolbox/program.h"

enum { START_MS = 60 * 1000 };

/*
 * DOWN -> STARTING          a request needs it
 * STARTING -> READY | DOWN  it answered `initialize`, or did not
 * READY -> DOWN             its process ended
 */
enum state { DOWN, STARTING, READY };

struct dt_lsp_server {
    struct dt_lsp_server *next;
    uint64_t number;
    struct dt_toolbox *tb;
    const struct dt_lsp_language *language;
    char *project, *root_uri;
    enum state state;
    bool was_ready;
    struct dt_lsp_peer *peer; /* NULL when DOWN */
    struct dt_lsp_wait *waits;
    struct dt_lsp_documents documents;
};

static struct dt_lsp_server *servers;
static unsigned nservers;
static uint64_t last_number;

#define TS_SUFFIXES                                                                                \
    {                                                                                              \
        ".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", NULL                         \
    }
#define TS_INSTALL "npm install -g typescript@5 typescript-language-server"

static const struct dt_lsp_language languages[] = {
    {"python", {"pylsp", NULL}, "pip install python-lsp-server", {".py", ".pyi", NULL}, {NULL}},
    {"typescript",
     {"typescript-language-server", "--stdio", NULL},
     TS_INSTALL,
     TS_SUFFIXES,
     {"tsconfig.json", "jsconfig.json", NULL}},
    {"javascript",
     {"typescript-language-server", "--stdio", NULL},
     TS_INSTALL,
     TS_SUFFIXES,
     {"jsconfig.json", "tsconfig.json", NULL}},
};

const struct dt_lsp_language *dt_lsp_language_find(const char *name, struct dt_err *err)
{
    for (size_t i = 0; i < sizeof(languages) / sizeof(languages[0]); i++) {
        if (strcmp(languages[i].name, name) == 0)
            return &languages[i];
    }
    (void)dt_err_set(err, DT_E_BAD_REQUEST,
                     "unsupported language: %.100s; use python, typescript or javascript", name);
    return NULL;
}

static struct dt_lsp_server *get(uint64_t number, struct dt_err *err)
{
    for (struct dt_lsp_server *s = servers; s != NULL; s = s->next) {
        if (s->number == number)
            return s;
    }
    (void)dt_err_set(err, DT_E_GONE, "the language server was stopped");
    return NULL;
}

/* --- states --- */

static void tell_waits(struct dt_lsp_server *s, const struct dt_err *err)
{
    /* Who is told may stop the server. */
    struct dt_lsp_wait *list = s->waits;
    s->waits = NULL;
    while (list != NULL) {
        struct dt_lsp_wait *w = list;
        list = w->next;
        w->on_ready(w->ctx, err);
    }
}

static void go_down(struct dt_lsp_server *s)
{
    s->state = DOWN;
    s->peer = NULL;
    dt_lsp_documents_lost(&s->documents);
}

static void on_end(void *ctx, const struct dt_err *why)
{
    (void)why; /* who waits for an answer is told with that */
    go_down(ctx);
}

/* Nobody sees what a checker finds, and a symbol is what a file defines, not what it imports. */
static json_t *settings(void)
{
    static const char *const idle[] = {"pycodestyle", "pyflakes", "mccabe",
                                       "flake8",      "pylint",   "pydocstyle"};
    json_t *plugins = json_pack("{s:{s:b}}", "jedi_symbols", "include_import_symbols", 0);
    for (size_t i = 0; i < sizeof(idle) / sizeof(idle[0]); i++)
        (void)json_object_set_new(plugins, idle[i], json_pack("{s:b}", "enabled", 0));
    return json_pack("{s:{s:{s:o}}}", "settings", "pylsp", "plugins", plugins);
}

static int introduce(struct dt_lsp_server *s, struct dt_err *err)
{
    if (dt_lsp_peer_notify(s->peer, "initialized", json_object(), err) < 0)
        return -1;
    return dt_lsp_peer_notify(s->peer, "workspace/didChangeConfiguration", settings(), err);
}

static void on_initialized(void *ctx, json_t *result, const struct dt_err *failed)
{
    struct dt_lsp_server *s = ctx;
    struct dt_err err;
    if (failed == NULL && (!json_is_object(result) || introduce(s, &err) < 0)) {
        if (!json_is_object(result))
            (void)dt_err_set(&err, DT_E_UNREACHABLE, "the language server's greeting is no object");
        failed = &err;
    }
    if (failed == NULL) {
        s->state = READY;
        s->was_ready = true;
        tell_waits(s, NULL);
        return;
    }
    err = *failed;
    struct dt_lsp_peer *peer = s->peer;
    go_down(s);
    if (peer != NULL)
        dt_lsp_peer_kill(peer);
    (void)dt_err_wrap(&err, "error starting LSP server");
    err.code = err.code == DT_E_GONE ? DT_E_GONE : DT_E_SYSTEM;
    tell_waits(s, &err);
}

static json_t *greeting(const struct dt_lsp_server *s)
{
    return json_pack("{s:n, s:{s:s, s:s}, s:s, s:s, s:[{s:s, s:s}], s:{s:b, s:{s:s}}, "
                     "s:{s:{s:b, s:b}, s:{s:{s:b}, s:{s:b, s:{s:b, s:[s, s]}}, s:{s:b}}}}",
                     "processId", "clientInfo", "name", "daytona-toolbox", "version", DT_VERSION,
                     "rootPath", s->project, "rootUri", s->root_uri, "workspaceFolders", "uri",
                     s->root_uri, "name", "project",
                     /* Nothing is fetched from a registry behind the user's back. */
                     "initializationOptions", "disableAutomaticTypingAcquisition", 1,
                     /* A second process that knows single files alone would answer for projects. */
                     "tsserver", "useSyntaxServer", "never",
                     /* What we can do. */
                     "capabilities", "workspace", "configuration", 1, "workspaceFolders", 1,
                     "textDocument", "synchronization", "dynamicRegistration", 0, "completion",
                     "contextSupport", 1, "completionItem", "snippetSupport", 0,
                     "documentationFormat", "markdown", "plaintext", "documentSymbol",
                     "hierarchicalDocumentSymbolSupport", 0);
}

static char *find_program(const struct dt_guest *g, const struct dt_lsp_language *language,
                          struct dt_err *err)
{
    char *program = dt_program_find(g->env, language->argv[0], err);
    if (program == NULL && err->code == DT_E_FILE_NOT_FOUND)
        (void)dt_err_set(err, DT_E_SYSTEM,
                         "error starting LSP server: there is no %s in the sandbox's PATH; install "
                         "it (%s) or use a snapshot that has it",
                         language->argv[0], language->install);
    return program;
}

static int start_peer(struct dt_lsp_server *s, struct dt_err *err)
{
    const struct dt_guest *g = &s->tb->guest;
    DT_AUTO_FREE char *program = find_program(g, s->language, err);
    if (program == NULL)
        return -1;
    const char *const argv[] = {program, s->language->argv[1], NULL};
    const struct dt_lsp_peer_opts o = {
        .argv = argv,
        .cwd = access(s->project, X_OK) == 0 ? s->project : "/", /* it may be cloned later */
        .root_uri = s->root_uri,
        .on_end = on_end,
        .ctx = s,
    };
    struct dt_lsp_peer *peer;
    if (dt_lsp_peer_start(s->tb, &o, &peer, err) < 0) {
        err->code = DT_E_SYSTEM;
        return dt_err_wrap(err, "error starting LSP server");
    }
    if (dt_lsp_peer_call(peer, "initialize", greeting(s), START_MS, on_initialized, s, err) == 0) {
        dt_lsp_peer_kill(peer);
        return dt_err_wrap(err, "error starting LSP server");
    }
    s->peer = peer;
    s->state = STARTING;
    return 0;
}

int dt_lsp_server_await(uint64_t number, struct dt_lsp_wait *w, struct dt_err *err)
{
    struct dt_lsp_server *s = get(number, err);
    if (s == NULL)
        return -1;
    if (s->state == READY)
        return 1;
    if (s->state == DOWN && start_peer(s, err) < 0)
        return -1;
    w->next = s->waits;
    s->waits = w;
    return 0;
}

void dt_lsp_server_unwait(uint64_t number, const struct dt_lsp_wait *w)
{
    struct dt_lsp_server *s = get(number, NULL);
    for (struct dt_lsp_wait **at = s != NULL ? &s->waits : NULL; at != NULL && *at != NULL;
         at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            return;
        }
    }
}

uint64_t dt_lsp_server_call(uint64_t number, const char *method, json_t *params,
                            uint64_t timeout_ms, dt_lsp_answer *answer, void *ctx,
                            struct dt_err *err)
{
    struct dt_lsp_server *s = get(number, err);
    if (s != NULL && s->state == READY)
        return dt_lsp_peer_call(s->peer, method, params, timeout_ms, answer, ctx, err);
    json_decref(params);
    if (s != NULL)
        (void)dt_err_set(err, DT_E_UNREACHABLE, "the language server has just ended; try again");
    return 0;
}

int dt_lsp_server_show(uint64_t number, const char *uri, struct dt_str text, bool keep,
                       struct dt_err *err)
{
    struct dt_lsp_server *s = get(number, err);
    if (s == NULL)
        return -1;
    if (s->state != READY)
        return dt_err_set(err, DT_E_UNREACHABLE, "the language server has just ended; try again");
    return dt_lsp_document_show(&s->documents, s->peer, s->language->name, uri, text, keep, err);
}

static struct dt_lsp_peer *listener(const struct dt_lsp_server *s)
{
    return s->state == READY ? s->peer : NULL;
}

void dt_lsp_server_hide(uint64_t number, const char *uri)
{
    struct dt_lsp_server *s = get(number, NULL);
    if (s != NULL)
        dt_lsp_document_hide(&s->documents, listener(s), uri);
}

void dt_lsp_server_close(uint64_t number, const char *uri)
{
    struct dt_lsp_server *s = get(number, NULL);
    if (s != NULL)
        dt_lsp_document_close(&s->documents, listener(s), uri);
}

void dt_lsp_server_cancel(uint64_t number, uint64_t call)
{
    struct dt_lsp_server *s = get(number, NULL);
    if (s != NULL && s->peer != NULL)
        dt_lsp_peer_cancel(s->peer, call);
}

/* --- coming and going --- */

static struct dt_lsp_server *find(const struct dt_lsp_language *language, const char *project)
{
    for (struct dt_lsp_server *s = servers; s != NULL; s = s->next) {
        if (s->language == language && strcmp(s->project, project) == 0)
            return s;
    }
    return NULL;
}

int dt_lsp_server_find(const struct dt_lsp_language *language, const char *project,
                       uint64_t *number, struct dt_err *err)
{
    const struct dt_lsp_server *s = find(language, project);
    if (s == NULL)
        return dt_err_set(err, DT_E_LSP_SERVER_NOT_INITIALIZED,
                          "server not initialized: start the %s server of %s first", language->name,
                          project);
    *number = s->number;
    return 0;
}

static void free_server(struct dt_lsp_server *s)
{
    dt_lsp_documents_done(&s->documents);
    free(s->project);
    free(s->root_uri);
    free(s);
}

int dt_lsp_server_add(struct dt_toolbox *tb, const struct dt_lsp_language *language,
                      const char *project, uint64_t *number, struct dt_err *err)
{
    const struct dt_lsp_server *old = find(language, project);
    if (old != NULL) {
        *number = old->number;
        return 0;
    }
    if (nservers >= DT_LSP_SERVERS_MAX)
        return dt_err_set(err, DT_E_LIMIT, "%d language servers run already; stop one first",
                          DT_LSP_SERVERS_MAX);
    struct dt_lsp_server *s = calloc(1, sizeof(*s));
    if (s == NULL || (s->project = strdup(project)) == NULL ||
        (s->root_uri = dt_lsp_path_uri(project)) == NULL) {
        if (s != NULL)
            free_server(s);
        return dt_err_set(err, DT_E_NOMEM, "language server");
    }
    s->tb = tb;
    s->language = language;
    s->number = *number = ++last_number;
    s->next = servers;
    servers = s;
    nservers++;
    return 0;
}

void dt_lsp_server_stop(uint64_t number)
{
    struct dt_err gone;
    for (struct dt_lsp_server **at = &servers; *at != NULL; at = &(*at)->next) {
        struct dt_lsp_server *s = *at;
        if (s->number != number)
            continue;
        *at = s->next;
        nservers--;
        struct dt_lsp_peer *peer = s->peer;
        if (peer != NULL)
            dt_lsp_peer_kill(peer);
        (void)dt_err_set(&gone, DT_E_GONE, "the language server was stopped");
        tell_waits(s, &gone);
        free_server(s);
        return;
    }
}

void dt_lsp_server_drop(uint64_t number)
{
    const struct dt_lsp_server *s = get(number, NULL);
    if (s != NULL && !s->was_ready)
        dt_lsp_server_stop(number);
}
