#include "toolbox/incoming.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/rand.h"
#include "toolbox/files.h"

enum { LINKS_MAX = 40 };

static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    size_t dir = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    size_t n = strlen(name);
    char *out = malloc(dir + n + 1);
    if (out == NULL)
        return NULL;
    memcpy(out, path, dir);
    memcpy(out + dir, name, n + 1);
    return out;
}

/* Where the last link leads, so that the link stays and its target is replaced. */
static char *follow(const char *path, struct dt_err *err)
{
    char *at = strdup(path);
    char target[4096];
    for (int i = 0; at != NULL && i < LINKS_MAX; i++) {
        ssize_t n = readlink(at, target, sizeof(target) - 1);
        if (n < 0)
            return at;
        target[n] = '\0';
        char *next = target[0] == '/' ? strdup(target) : beside(at, target);
        free(at);
        at = next;
    }
    if (at == NULL)
        (void)dt_err_set(err, DT_E_NOMEM, "path");
    else
        (void)dt_reply_file_errno(err, ELOOP, path);
    free(at);
    return NULL;
}

/* Looks at what is there; *mode becomes what the new file shall have. */
static int check_target(const char *path, mode_t *mode, bool replace, struct stat *old,
                        struct dt_err *err)
{
    size_t n = strlen(path);
    if (n > 0 && path[n - 1] == '/')
        return dt_err_set(err, DT_E_INVALID_FILE_PATH, "%.400s: names a folder, not a file", path);
    old->st_nlink = 0;
    if (lstat(path, old) < 0) {
        if (errno != ENOENT)
            return dt_reply_file_errno(err, errno, path);
        old->st_nlink = 0;
        if (*mode == DT_INCOMING_MODE_KEEP)
            *mode = 0644;
        return 0;
    }
    if (S_ISDIR(old->st_mode))
        return dt_err_set(err, DT_E_INVALID_FILE_PATH, "%.400s: is a folder", path);
    if (!S_ISREG(old->st_mode))
        return dt_err_set(err, DT_E_INVALID_FILE_PATH, "%.400s: is a device, pipe or socket", path);
    if (!replace)
        return dt_err_set(err, DT_E_FILE_EXISTS,
                          "%.400s already exists; choose another path or allow overwriting", path);
    if (*mode == DT_INCOMING_MODE_KEEP)
        *mode = old->st_mode & 07777;
    return 0;
}

int dt_incoming_begin(struct dt_incoming *in, const char *path, mode_t mode, bool replace,
                      struct dt_err *err)
{
    struct stat old = {.st_nlink = 0};
    char name[48], random[17];
    *in = (struct dt_incoming){.fd = -1, .replace = replace};
    in->path = follow(path, err);
    if (in->path == NULL)
        return -1;
    if (dt_files_make_parents(in->path, 0755, err) < 0 ||
        check_target(in->path, &mode, replace, &old, err) < 0) {
        dt_incoming_done(in);
        return -1;
    }
    dt_rand_alnum(random, 16);
    (void)snprintf(name, sizeof(name), ".daytona-%s.tmp", random);
    char *aside = beside(in->path, name);
    in->fd = aside == NULL ? -1 : open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (in->fd < 0) {
        int number = aside == NULL ? ENOMEM : errno;
        free(aside);
        (void)dt_reply_file_errno(err, number, in->path);
        dt_incoming_done(in);
        return -1;
    }
    in->aside = aside;
    if (old.st_nlink > 0)
        dt_files_give(in->fd, &old);
    if (fchmod(in->fd, mode) < 0) {
        (void)dt_reply_file_errno(err, errno, in->path);
        dt_incoming_done(in);
        return -1;
    }
    return 0;
}

int dt_incoming_write(struct dt_incoming *in, const void *p, size_t n, struct dt_err *err)
{
    if (dt_fd_write_all(in->fd, p, n, err) < 0)
        return dt_err_wrap(err, "%.300s", in->path);
    in->size += n;
    return 0;
}

int dt_incoming_skip(struct dt_incoming *in, size_t n, struct dt_err *err)
{
    in->size += n;
    if (ftruncate(in->fd, (off_t)in->size) < 0 || lseek(in->fd, (off_t)in->size, SEEK_SET) < 0)
        return dt_reply_file_errno(err, errno, in->path);
    return 0;
}

static int put(const struct dt_incoming *in)
{
    if (in->replace)
        return rename(in->aside, in->path);
    if (renameat2(AT_FDCWD, in->aside, AT_FDCWD, in->path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    return link(in->aside, in->path); /* the other name goes in dt_incoming_done() */
}

int dt_incoming_commit(struct dt_incoming *in, struct dt_err *err)
{
    int fd = dt_take_fd(&in->fd);
    int r = close(fd) < 0 ? dt_reply_file_errno(err, errno, in->path) : 0; /* FUSE reports here */
    if (r == 0 && put(in) < 0)
        r = errno == EEXIST
                ? dt_err_set(err, DT_E_FILE_EXISTS,
                             "%.400s already exists; choose another path or allow overwriting",
                             in->path)
                : dt_reply_file_errno(err, errno, in->path);
    dt_incoming_done(in);
    return r;
}

void dt_incoming_done(struct dt_incoming *in)
{
    if (in->fd >= 0)
        (void)close(in->fd);
    if (in->aside != NULL)
        (void)unlink(in->aside);
    free(in->aside);
    free(in->path);
    in->fd = -1;
    in->aside = in->path = NULL;
}
