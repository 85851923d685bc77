/* A project's files as the language operations need them. What is here blocks: it is called in a
 * thread. */
#ifndef DT_TOOLBOX_LSP_PROJECT_H
#define DT_TOOLBOX_LSP_PROJECT_H

#include "base/buf.h"

enum {
    DT_LSP_FILES_MAX = 500,           /* that are found */
    DT_LSP_LOOKED_AT_MAX = 50 * 1000, /* entries of folders */
    DT_LSP_FOLDERS_DEEP = 32,
    DT_LSP_DOCUMENT_MAX = 4 * 1024 * 1024, /* bytes of one file */
    DT_LSP_READ_MAX = 256 * 1024 * 1024,   /* bytes of all that are looked through */
};

struct dt_lsp_files {
    char **paths; /* absolute, sorted */
    size_t n;
    bool cut; /* a limit was reached: there may be more */
};

/* The regular files below `root` whose name ends in one of `suffixes` (ended by NULL) and whose
 * text holds `text`, whatever the case. Hidden folders, installed packages and what a build makes
 * are left out, and links are not followed. An unreadable folder is an empty one. */
int dt_lsp_project_find(const char *root, const char *const *suffixes, const char *text,
                        struct dt_lsp_files *ret, struct dt_err *err) DT_MUST_CHECK;
/* Whether one of the files (ended by NULL) is right below `root`. */
bool dt_lsp_project_has(const char *root, const char *const *names);
void dt_lsp_files_done(struct dt_lsp_files *f);
/* A document's text, made valid UTF-8. BAD_REQUEST names a path that is no readable regular file;
 * TOO_LARGE. `out` is initialized here; done() it also after a failure. */
int dt_lsp_document_read(const char *path, struct dt_buf *out, struct dt_err *err) DT_MUST_CHECK;

#endif
