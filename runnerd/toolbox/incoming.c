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

/* Where the last link leads, so that the link stays and its target is replaced; *old is what is
 * there, with st_nlink 0 when that cannot be told, and then errno says why. */
static char *follow(const char *path, struct stat *old, struct dt_err *err)
{
    char *at = strdup(path);
    char target[4096];
    for (int i = 0; at != NULL && i < LINKS_MAX; i++) {
        if (lstat(at, old) < 0) {
            old->st_nlink = 0;
            return at;
        }
        if (!S_ISLNK(old->st_mode))
            return at;
        ssize_t n = readlink(at, target, sizeof(target) - 1);
        if (n < 0)
            break;
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

/* *mode becomes what the new file shall have. */
static int check_old(const char *path, const struct stat *old, mode_t *mode, bool replace,
                     struct dt_err *err)
{
    bool there = old->st_nlink > 0;
    if (there && S_ISDIR(old->st_mode))
        return dt_err_set(err, DT_E_INVALID_FILE_PATH, "%.400s: is a folder", path);
    if (there && !S_ISREG(old->st_mode))
        return dt_err_set(err, DT_E_INVALID_FILE_PATH, "%.400s: is a device, pipe or socket", path);
    if (there && !replace)
        return dt_err_set(err, DT_E_FILE_EXISTS,
                          "%.400s already exists; choose another path or allow overwriting", path);
    if (*mode == DT_INCOMING_MODE_KEEP)
        *mode = there ? old->st_mode & 07777 : 0644;
    return 0;
}

/* Follows links, makes parents, and looks at what is there. */
static int find_place(struct dt_incoming *in, const char *path, mode_t *mode, struct stat *old,
                      struct dt_err *err)
{
    size_t n = strlen(path);
    if (n > 0 && path[n - 1] == '/')
        return dt_err_set(err, DT_E_INVALID_FILE_PATH, "%.400s: names a folder, not a file", path);
    in->path = follow(path, old, err);
    if (in->path == NULL)
        return -1;
    int why = old->st_nlink > 0 ? 0 : errno;
    if (dt_files_make_parents(in->path, 0755, err) < 0)
        return -1;
    if (why != 0 && why != ENOENT)
        return dt_reply_file_errno(err, why, in->path);
    return check_old(in->path, old, mode, in->replace, err);
}

static char *name_aside(const char *path)
{
    char name[48], random[17];
    dt_rand_alnum(random, 16);
    (void)snprintf(name, sizeof(name), ".daytona-%s.tmp", random);
    return beside(path, name);
}

/* One without a name, which costs the folder one entry instead of two. Not every file system has
 * that, overlays from Linux 6.3 on. */
static int open_unnamed(const char *path, mode_t mode)
{
    DT_AUTO_FREE char *folder = beside(path, ".");
    return folder == NULL ? -1 : open(folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, mode);
}

static int open_aside(struct dt_incoming *in, mode_t mode, struct dt_err *err)
{
    char *aside = name_aside(in->path);
    if (aside == NULL)
        return dt_err_set(err, DT_E_NOMEM, "path");
    in->fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (in->fd < 0) {
        int number = errno;
        free(aside);
        return dt_reply_file_errno(err, number, in->path);
    }
    in->aside = aside;
    return 0;
}

static int open_new(struct dt_incoming *in, mode_t mode, const struct stat *old, struct dt_err *err)
{
    if (old->st_nlink > 0)
        return open_aside(in, 0600, err);
    mode &= DT_INCOMING_MODE_PLAIN;
    in->fd = open_unnamed(in->path, mode);
    return in->fd >= 0 ? 0 : open_aside(in, mode, err);
}

/* What replaces a file belongs to its owner before others may read it. */
static int give_mode(const struct dt_incoming *in, mode_t mode, const struct stat *old,
                     struct dt_err *err)
{
    if (old->st_nlink > 0)
        dt_files_give(in->fd, old);
    else if ((mode & ~(mode_t)DT_INCOMING_MODE_PLAIN) == 0)
        return 0; /* it was made with it */
    return fchmod(in->fd, mode) < 0 ? dt_reply_file_errno(err, errno, in->path) : 0;
}

int dt_incoming_begin(struct dt_incoming *in, const char *path, mode_t mode, bool replace,
                      struct dt_err *err)
{
    struct stat old;
    *in = (struct dt_incoming){.fd = -1, .replace = replace};
    if (find_place(in, path, &mode, &old, err) == 0 && open_new(in, mode, &old, err) == 0 &&
        give_mode(in, mode, &old, err) == 0)
        return 0;
    dt_incoming_done(in);
    return -1;
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

static int rename_to(const struct dt_incoming *in)
{
    return in->replace ? rename(in->aside, in->path)
                       : renameat2(AT_FDCWD, in->aside, AT_FDCWD, in->path, RENAME_NOREPLACE);
}

static int put_named(struct dt_incoming *in)
{
    if (rename_to(in) == 0) {
        free(dt_take(in->aside));
        return 0;
    }
    if (in->replace || (errno != EINVAL && errno != ENOSYS))
        return -1;
    return link(in->aside, in->path); /* the other name goes in dt_incoming_done() */
}

static int link_to(int fd, const char *path)
{
    char own[32];
    (void)snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, own, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

static int put(struct dt_incoming *in)
{
    if (in->aside != NULL)
        return put_named(in);
    if (link_to(in->fd, in->path) == 0)
        return 0;
    if (errno != EEXIST || !in->replace)
        return -1;
    char *aside = name_aside(in->path);
    if (aside == NULL || link_to(in->fd, aside) < 0) {
        free(aside);
        return -1;
    }
    in->aside = aside;
    return put_named(in);
}

/* What FUSE and NFS report when a descriptor is closed is said while there is no name yet. */
static int settle(int fd)
{
    int same = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return same < 0 ? -1 : close(same);
}

int dt_incoming_commit(struct dt_incoming *in, struct dt_err *err)
{
    int r = settle(in->fd) < 0 ? dt_reply_file_errno(err, errno, in->path) : 0;
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
    dt_closep(&in->fd);
    if (in->aside != NULL)
        (void)unlink(in->aside);
    free(in->aside);
    free(in->path);
    in->aside = in->path = NULL;
}
