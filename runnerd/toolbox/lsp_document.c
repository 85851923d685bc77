#include "toolbox/lsp_document.h"

struct dt_lsp_document {
    struct dt_lsp_document *next;
    char *uri;
    int version;
    uint64_t hash; /* of the text the server has */
    unsigned users;
    bool kept, sent;
};

/* --- the list --- */

static struct dt_lsp_document *find(const struct dt_lsp_documents *all, const char *uri)
{
    for (struct dt_lsp_document *d = all->first; d != NULL; d = d->next) {
        if (strcmp(d->uri, uri) == 0)
            return d;
    }
    return NULL;
}

static void free_one(struct dt_lsp_document *d)
{
    free(d->uri);
    free(d);
}

static struct dt_lsp_document *add(struct dt_lsp_documents *all, const char *uri,
                                   struct dt_err *err)
{
    if (all->count >= DT_LSP_DOCUMENTS_MAX) {
        (void)dt_err_set(err, DT_E_LIMIT, "%d documents are open in this server; close one first",
                         DT_LSP_DOCUMENTS_MAX);
        return NULL;
    }
    struct dt_lsp_document *d = calloc(1, sizeof(*d));
    if (d == NULL || (d->uri = strdup(uri)) == NULL) {
        free(d);
        (void)dt_err_set(err, DT_E_NOMEM, "document");
        return NULL;
    }
    d->next = all->first;
    all->first = d;
    all->count++;
    return d;
}

/* Unless somebody has it open. */
static void drop(struct dt_lsp_documents *all, struct dt_lsp_peer *peer, struct dt_lsp_document *d)
{
    struct dt_err err;
    if (d->kept || d->users > 0)
        return;
    for (struct dt_lsp_document **at = &all->first; *at != NULL; at = &(*at)->next) {
        if (*at == d) {
            *at = d->next;
            break;
        }
    }
    all->count--;
    /* A server that cannot be told is about to end, and forgets by that. */
    if (d->sent && peer != NULL &&
        dt_lsp_peer_notify(peer, "textDocument/didClose",
                           json_pack("{s:{s:s}}", "textDocument", "uri", d->uri), &err) < 0)
        d->sent = false;
    free_one(d);
}

void dt_lsp_documents_done(struct dt_lsp_documents *all)
{
    struct dt_lsp_document *d;
    while ((d = all->first) != NULL) {
        all->first = d->next;
        free_one(d);
    }
    all->count = 0;
}

void dt_lsp_documents_lost(struct dt_lsp_documents *all)
{
    for (struct dt_lsp_document *d = all->first; d != NULL; d = d->next)
        d->sent = false;
}

/* --- the text --- */

/* What the protocol calls the language of a file. */
static const char *language_of(const char *uri, const char *otherwise)
{
    static const struct {
        const char *suffix, *language;
    } rows[] = {
        {".tsx", "typescriptreact"}, {".jsx", "javascriptreact"}, {".ts", "typescript"},
        {".mts", "typescript"},      {".cts", "typescript"},      {".js", "javascript"},
        {".mjs", "javascript"},      {".cjs", "javascript"},
    };
    size_t n = strlen(uri);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t m = strlen(rows[i].suffix);
        if (n > m && strcmp(uri + n - m, rows[i].suffix) == 0)
            return rows[i].language;
    }
    return otherwise;
}

static uint64_t hash_of(struct dt_str text)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < text.n; i++)
        hash = (hash ^ (unsigned char)text.p[i]) * 1099511628211u;
    return hash;
}

static int send_text(struct dt_lsp_document *d, struct dt_lsp_peer *peer, const char *language,
                     struct dt_str text, struct dt_err *err)
{
    uint64_t hash = hash_of(text);
    if (d->sent && d->hash == hash)
        return 0;
    json_t *whole = json_stringn(text.p != NULL ? text.p : "", text.n);
    int r;
    if (d->sent)
        r = dt_lsp_peer_notify(peer, "textDocument/didChange",
                               json_pack("{s:{s:s, s:i}, s:[{s:o}]}", "textDocument", "uri", d->uri,
                                         "version", d->version + 1, "contentChanges", "text",
                                         whole),
                               err);
    else
        r = dt_lsp_peer_notify(peer, "textDocument/didOpen",
                               json_pack("{s:{s:s, s:s, s:i, s:o}}", "textDocument", "uri", d->uri,
                                         "languageId", language_of(d->uri, language), "version",
                                         d->version + 1, "text", whole),
                               err);
    if (r < 0)
        return -1;
    d->version++;
    d->hash = hash;
    d->sent = true;
    return 0;
}

int dt_lsp_document_show(struct dt_lsp_documents *all, struct dt_lsp_peer *peer,
                         const char *language, const char *uri, struct dt_str text, bool keep,
                         struct dt_err *err)
{
    struct dt_lsp_document *d = find(all, uri);
    if (d == NULL)
        d = add(all, uri, err);
    if (d == NULL)
        return -1;
    int r = send_text(d, peer, language, text, err);
    if (r == 0) {
        d->users++;
        d->kept = d->kept || keep;
    }
    drop(all, peer, d); /* if nothing came of it */
    return r;
}

void dt_lsp_document_hide(struct dt_lsp_documents *all, struct dt_lsp_peer *peer, const char *uri)
{
    struct dt_lsp_document *d = find(all, uri);
    if (d == NULL)
        return;
    d->users -= d->users > 0;
    drop(all, peer, d);
}

void dt_lsp_document_close(struct dt_lsp_documents *all, struct dt_lsp_peer *peer, const char *uri)
{
    struct dt_lsp_document *d = find(all, uri);
    if (d == NULL)
        return;
    d->kept = false;
    drop(all, peer, d);
}
