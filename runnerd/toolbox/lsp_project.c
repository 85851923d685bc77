#include "toolbox/lsp_project.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/utf8.h"

struct walk {
    const char *const *suffixes;
    const char *text;
    struct dt_lsp_files *found;
    struct dt_buf file; /* the text of the one that is being looked through */
    struct dt_buf path;
    size_t looked_at;
    uint64_t bytes;
};

static bool is_skipped(const char *name)
{
    static const char *const skipped[] = {"node_modules", "__pycache__", "site-packages",
                                          "venv",         "dist",        "build"};
    for (size_t i = 0; i < sizeof(skipped) / sizeof(skipped[0]); i++) {
        if (strcmp(name, skipped[i]) == 0)
            return true;
    }
    return name[0] == '.';
}

static bool is_source(const struct walk *w, const char *name)
{
    size_t n = strlen(name);
    for (const char *const *s = w->suffixes; *s != NULL; s++) {
        if (n > strlen(*s) && strcmp(name + n - strlen(*s), *s) == 0)
            return true;
    }
    return false;
}

/* Never waits for the writer of a FIFO, nor does anything to a device. */
static int open_regular(int dir, const char *name, int more_flags, struct stat *st)
{
    DT_AUTO_FD int fd =
        openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | more_flags);
    if (fd < 0 || fstat(fd, st) < 0)
        return -1;
    if (!S_ISREG(st->st_mode)) {
        errno = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
        return -1;
    }
    return dt_take_fd(&fd);
}

static bool holds(struct walk *w, int dir, const char *name)
{
    struct stat st;
    DT_AUTO_FD int fd = open_regular(dir, name, O_NOFOLLOW, &st);
    dt_buf_clear(&w->file);
    if (fd < 0 || st.st_size > DT_LSP_DOCUMENT_MAX)
        return false;
    if (w->text[0] == '\0')
        return true;
    if (w->bytes + (uint64_t)st.st_size > DT_LSP_READ_MAX) {
        w->found->cut = true;
        return false;
    }
    if (dt_fd_read_all(fd, &w->file, NULL) < 0 || w->file.n == 0)
        return false;
    w->bytes += w->file.n;
    for (char *nul = w->file.p; (nul = memchr(nul, '\0', w->file.n - (size_t)(nul - w->file.p)));)
        *nul = ' '; /* else the search would end there */
    return strcasestr(w->file.p, w->text) != NULL;
}

static int add_file(struct walk *w, struct dt_err *err)
{
    struct dt_lsp_files *f = w->found;
    if (f->n == DT_LSP_FILES_MAX) {
        f->cut = true;
        return 0;
    }
    if (f->paths == NULL)
        f->paths = calloc(DT_LSP_FILES_MAX, sizeof(*f->paths));
    char *path = f->paths != NULL ? strdup(w->path.p) : NULL;
    if (path == NULL)
        return dt_err_set(err, DT_E_NOMEM, "the project's files");
    f->paths[f->n++] = path;
    return 0;
}

static int walk(struct walk *w, int parent, const char *name, int depth, struct dt_err *err);

static int look_at(struct walk *w, int dir, const struct dirent *e,
                   int depth, // NOLINT(misc-no-recursion)
                   struct dt_err *err)
{
    size_t n = w->path.n;
    struct stat st;
    if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (dt_buf_addf(&w->path, NULL, "/%s", e->d_name) < 0) {
        w->found->cut = true; /* longer than a path may be */
        return 0;
    }
    int r = 0;
    if (S_ISDIR(st.st_mode) && !is_skipped(e->d_name))
        r = walk(w, dir, e->d_name, depth + 1, err);
    else if (S_ISREG(st.st_mode) && is_source(w, e->d_name) && holds(w, dir, e->d_name))
        r = add_file(w, err);
    w->path.n = n;
    w->path.p[n] = '\0';
    return r;
}

/* Bounded by DT_LSP_FOLDERS_DEEP. */
static int walk(struct walk *w, int parent, const char *name,
                int depth, // NOLINT(misc-no-recursion)
                struct dt_err *err)
{
    if (depth > DT_LSP_FOLDERS_DEEP) {
        w->found->cut = true;
        return 0;
    }
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (depth > 0 ? O_NOFOLLOW : 0);
    DT_AUTO_FD int dir = openat(parent, name, flags);
    DT_AUTO_FD int own = dir < 0 ? -1 : fcntl(dir, F_DUPFD_CLOEXEC, 0);
    DIR *d = own < 0 ? NULL : fdopendir(own);
    if (d == NULL)
        return 0;
    (void)dt_take_fd(&own);
    const struct dirent *e;
    int r = 0;
    while (r == 0 && !w->found->cut && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (++w->looked_at > DT_LSP_LOOKED_AT_MAX)
            w->found->cut = true;
        else
            r = look_at(w, dir, e, depth, err);
    }
    (void)closedir(d);
    return r;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int dt_lsp_project_find(const char *root, const char *const *suffixes, const char *text,
                        struct dt_lsp_files *ret, struct dt_err *err)
{
    struct walk w = {.suffixes = suffixes, .text = text, .found = ret};
    *ret = (struct dt_lsp_files){.n = 0};
    dt_buf_init(&w.file, DT_LSP_DOCUMENT_MAX);
    dt_buf_init(&w.path, PATH_MAX - 1);
    int r = dt_buf_addz(&w.path, strcmp(root, "/") == 0 ? "" : root, err);
    if (r == 0)
        r = walk(&w, AT_FDCWD, root, 0, err);
    dt_buf_done(&w.file);
    dt_buf_done(&w.path);
    if (r < 0)
        dt_lsp_files_done(ret);
    else if (ret->n > 0)
        qsort((void *)ret->paths, ret->n, sizeof(*ret->paths), by_name);
    return r;
}

bool dt_lsp_project_has(const char *root, const char *const *names)
{
    DT_AUTO_FD int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (const char *const *n = names; dir >= 0 && *n != NULL; n++) {
        if (faccessat(dir, *n, F_OK, 0) == 0)
            return true;
    }
    return false;
}

void dt_lsp_files_done(struct dt_lsp_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->paths[i]);
    free((void *)f->paths);
    *f = (struct dt_lsp_files){.n = 0};
}

int dt_lsp_document_read(const char *path, struct dt_buf *out, struct dt_err *err)
{
    struct stat st;
    DT_AUTO_BUF struct dt_buf raw;
    dt_buf_init(out, (size_t)3 * DT_LSP_DOCUMENT_MAX);
    dt_buf_init(&raw, DT_LSP_DOCUMENT_MAX);
    DT_AUTO_FD int fd = open_regular(AT_FDCWD, path, 0, &st);
    if (fd < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST, "%s cannot be read as a document: %s", path,
                          errno == EINVAL ? "it is no regular file" : strerror(errno));
    if (dt_fd_read_all(fd, &raw, err) < 0)
        return dt_err_wrap(err, "%s: at most %d bytes are read of a document", path,
                           DT_LSP_DOCUMENT_MAX);
    return dt_utf8_repair(out, dt_buf_str(&raw), err);
}
