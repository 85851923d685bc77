#include "base/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int dt_fd_write_all(int fd, const void *p, size_t n, struct dt_err *err)
{
    const char *at = p;
    while (n > 0) {
        ssize_t put = write(fd, at, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return dt_err_errno(err, "write");
        at += put;
        n -= (size_t)put;
    }
    return 0;
}

int dt_fd_read_all(int fd, struct dt_buf *out, struct dt_err *err)
{
    for (;;) {
        size_t room = out->max - out->n;
        size_t want = room < 16384 ? room : 16384;
        char probe;
        char *into = &probe;
        if (want > 0) {
            if (dt_buf_reserve(out, want, err) < 0)
                return -1;
            into = out->p + out->n;
        }
        ssize_t got = read(fd, into, want > 0 ? want : 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return dt_err_errno(err, "read");
        if (got == 0)
            return 0;
        if (want == 0)
            return dt_err_set(err, DT_E_TOO_LARGE, "more than %zu bytes", out->max);
        out->n += (size_t)got;
        out->p[out->n] = '\0';
    }
}

int dt_fd_read_file(int dirfd, const char *path, struct dt_buf *out, struct dt_err *err)
{
    DT_AUTO_FD int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return dt_err_errno(err, "open %s", path);
    if (dt_fd_read_all(fd, out, err) < 0)
        return dt_err_wrap(err, "%s", path);
    return 0;
}

int dt_fd_put(int dirfd, const char *path, const char *text, struct dt_err *err)
{
    DT_AUTO_FD int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return dt_err_errno(err, "open %s", path);
    if (write(fd, text, strlen(text)) < 0)
        return dt_err_errno(err, "write '%s' to %s", text, path);
    return 0;
}

int dt_fd_replace(int dirfd, const char *path, const void *p, size_t n, mode_t mode,
                  struct dt_err *err)
{
    char aside[4096];
    int len = snprintf(aside, sizeof(aside), "%s.%d.tmp", path, (int)getpid());
    if (len < 0 || (size_t)len >= sizeof(aside))
        return dt_err_set(err, DT_E_INVALID, "path is longer than %zu bytes", sizeof(aside));
    DT_AUTO_FD int fd =
        openat(dirfd, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return dt_err_errno(err, "create %s", aside);
    if (dt_fd_write_all(fd, p, n, err) < 0 ||
        (fchmod(fd, mode) < 0 && dt_err_errno(err, "chmod")) ||
        (fsync(fd) < 0 && dt_err_errno(err, "fsync")) ||
        (renameat(dirfd, aside, dirfd, path) < 0 && dt_err_errno(err, "rename"))) {
        (void)unlinkat(dirfd, aside, 0);
        return dt_err_wrap(err, "%s", path);
    }
    return 0;
}

int dt_fd_openat2(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .mode = mode, .resolve = resolve};
    return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
}

enum { NAME_SIZE = 256 };

/* The folder `name` of `dirfd`, or -1 with errno. */
static int step_into(int dirfd, const char *name, mode_t mode)
{
    enum { RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    int fd = dt_fd_openat2(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    /* Somebody else may make it just now, or put a link there: what counts is what opens. */
    if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
        return -1;
    return dt_fd_openat2(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE);
}

int dt_fd_make_folders(int dirfd, const char *path, mode_t mode, int *ret, struct dt_err *err)
{
    DT_AUTO_FD int at = openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct dt_str rest = dt_str_z(path), name;
    if (at < 0)
        return dt_err_errno(err, "open a folder");
    while (rest.n > 0 && dt_str_cut(&rest, '/', &name)) {
        char text[NAME_SIZE];
        size_t behind = rest.p == NULL ? strlen(path) : (size_t)(rest.p - path) - 1;
        if (snprintf(text, sizeof(text), "%.*s", (int)name.n, name.p) >= (int)sizeof(text))
            return dt_err_set(err, DT_E_BAD_REQUEST, "a name is longer than %d bytes",
                              NAME_SIZE - 1);
        int next = step_into(at, text, mode);
        if (next < 0 && (errno == ENOENT || errno == EAGAIN))
            return dt_err_set(err, DT_E_BAD_REQUEST, "%.*s changes while it is opened", (int)behind,
                              path);
        if (next < 0 && (errno == ELOOP || errno == ENOTDIR))
            return dt_err_set(err, DT_E_BAD_REQUEST, "%.*s is a link or a file, not a folder",
                              (int)behind, path);
        if (next < 0)
            return dt_err_errno(err, "make %.*s", (int)behind, path);
        (void)close(at);
        at = next;
    }
    *ret = dt_take_fd(&at);
    return 0;
}

/* One folder that is being emptied; the stack is on the heap, so that depth costs no C stack. */
struct level {
    struct level *up;
    DIR *dir;
    char name[NAME_SIZE];
};

static struct level *level_open(int dirfd, const char *name, struct level *up)
{
    int fd = dt_fd_openat2(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
                           RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
    struct level *l = fd < 0 ? NULL : calloc(1, sizeof(*l));
    if (l == NULL || (l->dir = fdopendir(fd)) == NULL) {
        free(l);
        if (fd >= 0)
            (void)close(fd);
        return NULL;
    }
    l->up = up;
    (void)snprintf(l->name, sizeof(l->name), "%s", name);
    return l;
}

static struct level *level_close(struct level *l)
{
    struct level *up = l->up;
    (void)closedir(l->dir);
    free(l);
    return up;
}

/* Removes what it can at this level; returns the folder to go into, or NULL when it is empty. */
static const char *empty_level(struct level *l)
{
    const struct dirent *e;
    while ((e = readdir(l->dir)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(l->dir), e->d_name, 0) == 0)
            continue;
        if (errno == EISDIR || errno == EPERM)
            return e->d_name;
    }
    return NULL;
}

int dt_fd_remove_tree(int dirfd_top, const char *name, struct dt_err *err)
{
    if (unlinkat(dirfd_top, name, 0) == 0 || errno == ENOENT)
        return 0;
    struct level *l = level_open(dirfd_top, name, NULL);
    if (l == NULL)
        return dt_err_errno(err, "open %s", name);
    while (l != NULL) {
        const char *sub = empty_level(l);
        if (sub != NULL) {
            struct level *down = level_open(dirfd(l->dir), sub, l);
            if (down != NULL)
                l = down;
            continue;
        }
        char self[NAME_SIZE];
        (void)snprintf(self, sizeof(self), "%s", l->name);
        l = level_close(l);
        (void)unlinkat(l != NULL ? dirfd(l->dir) : dirfd_top, self, AT_REMOVEDIR);
    }
    struct stat st;
    if (fstatat(dirfd_top, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EBUSY;
        return dt_err_errno(err, "remove %s", name);
    }
    return 0;
}
