/* Moving files, also between file systems. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sendfile.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/rand.h"
#include "toolbox/files.h"

enum { COPY_DEPTH_MAX = 200, COPY_CHUNK = 1024 * 1024 };

static int copy_entry(int from, const char *name, int to, const char *new_name, int depth,
                      struct dt_err *err);

static int copy_piece(int in, int out, off_t n, struct dt_err *err)
{
    while (n > 0) {
        ssize_t got = sendfile(out, in, NULL, n < COPY_CHUNK ? (size_t)n : COPY_CHUNK);
        if (got < 0 && errno != EINTR)
            return dt_err_errno(err, "copy");
        if (got == 0)
            break; /* it shrank meanwhile */
        n -= got > 0 ? got : 0;
    }
    return 0;
}

/* Holes stay holes. */
static int copy_bytes(int in, int out, off_t size, struct dt_err *err)
{
    off_t at = 0;
    while (at < size) {
        off_t data = lseek(in, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break;
        off_t hole = data < 0 ? -1 : lseek(in, data, SEEK_HOLE);
        if (hole < 0) { /* the file system does not tell */
            data = at;
            hole = size;
        }
        if (lseek(in, data, SEEK_SET) < 0 || lseek(out, data, SEEK_SET) < 0)
            return dt_err_errno(err, "copy");
        if (copy_piece(in, out, hole - data, err) < 0)
            return -1;
        at = hole;
    }
    return ftruncate(out, size) < 0 ? dt_err_errno(err, "copy") : 0;
}

/* Owner and times as far as we may; the mode last, since chown clears bits of it. */
static void copy_attributes(int fd, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    dt_files_give(fd, st);
    (void)fchmod(fd, st->st_mode & 07777);
    (void)futimens(fd, times);
}

static int copy_file(int from, const char *name, int to, const char *new_name,
                     const struct stat *st, struct dt_err *err)
{
    DT_AUTO_FD int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in < 0)
        return dt_reply_file_errno(err, errno, name);
    DT_AUTO_FD int out = openat(to, new_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return dt_reply_file_errno(err, errno, new_name);
    if (copy_bytes(in, out, st->st_size, err) < 0)
        return -1;
    copy_attributes(out, st);
    int fd = dt_take_fd(&out); /* FUSE and others tell of failures when a file is closed */
    return close(fd) < 0 ? dt_reply_file_errno(err, errno, new_name) : 0;
}

static int copy_link(int from, const char *name, int to, const char *new_name, struct dt_err *err)
{
    char target[4096];
    ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);
    if (n < 0)
        return dt_reply_file_errno(err, errno, name);
    target[n] = '\0';
    return symlinkat(target, to, new_name) == 0 ? 0 : dt_reply_file_errno(err, errno, new_name);
}

/* Returns the errno when the list itself cannot be read to its end. */
static int copy_entries(DIR *list, int in, int out, int depth, struct dt_err *err)
{
    const struct dirent *e;
    while ((errno = 0, e = readdir(list)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            copy_entry(in, e->d_name, out, e->d_name, depth + 1, err) < 0)
            return -1;
    }
    return errno;
}

static int copy_folder(int from, const char *name, int to, const char *new_name,
                       const struct stat *st, int depth, struct dt_err *err)
{
    if (depth == COPY_DEPTH_MAX)
        return dt_err_set(err, DT_E_BAD_REQUEST, "folders nest deeper than %d", COPY_DEPTH_MAX);
    if (mkdirat(to, new_name, 0700) < 0)
        return dt_reply_file_errno(err, errno, new_name);
    DT_AUTO_FD int out = openat(to, new_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DT_AUTO_FD int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DT_AUTO_FD int list_fd = in >= 0 ? openat(in, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *list = list_fd >= 0 && out >= 0 ? fdopendir(list_fd) : NULL;
    if (list == NULL)
        return dt_reply_file_errno(err, errno, name);
    (void)dt_take_fd(&list_fd);
    int r = copy_entries(list, in, out, depth, err);
    if (r > 0)
        r = dt_reply_file_errno(err, r, name);
    (void)closedir(list);
    copy_attributes(out, st);
    return r;
}

static int copy_entry(int from, const char *name, int to, const char *new_name, int depth,
                      struct dt_err *err)
{
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return dt_reply_file_errno(err, errno, name);
    if (S_ISREG(st.st_mode))
        return copy_file(from, name, to, new_name, &st, err);
    if (S_ISLNK(st.st_mode))
        return copy_link(from, name, to, new_name, err);
    if (S_ISDIR(st.st_mode))
        return copy_folder(from, name, to, new_name, &st, depth, err);
    if (S_ISFIFO(st.st_mode))
        return mkfifoat(to, new_name, st.st_mode & 0777) == 0
                   ? 0
                   : dt_reply_file_errno(err, errno, new_name);
    return dt_err_set(err, DT_E_BAD_REQUEST,
                      "%.300s: a socket or device cannot be moved to another file system", name);
}

static int rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    struct stat st;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (lstat(to, &st) == 0) { /* the file system knows no RENAME_NOREPLACE */
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

void dt_files_give(int fd, const struct stat *st)
{
    if (fchown(fd, st->st_uid, st->st_gid) < 0 && fchown(fd, (uid_t)-1, st->st_gid) < 0)
        return; /* it stays ours */
}

int dt_files_remove_tree(const char *path, struct dt_err *err)
{
    DT_AUTO_FREE char *copy = strdup(path);
    if (copy == NULL)
        return dt_err_set(err, DT_E_NOMEM, "path");
    size_t n = strlen(copy);
    while (n > 1 && copy[n - 1] == '/')
        copy[--n] = '\0';
    char *slash = strrchr(copy, '/');
    const char *name = slash != NULL ? slash + 1 : copy;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return dt_err_set(err, DT_E_INVALID_FILE_PATH, "%.400s cannot be deleted", path);
    const char *parent = slash == NULL ? "." : slash == copy ? "/" : copy;
    if (slash != NULL && slash != copy)
        *slash = '\0';
    DT_AUTO_FD int dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return dt_reply_file_errno(err, errno, path);
    if (dt_fd_remove_tree(dir, name, err) == 0)
        return 0;
    return dt_err_set(
        err, DT_E_FILE_ACCESS_DENIED,
        "%.300s: not everything in it could be deleted: it belongs to another user, is "
        "a mount point, or was added meanwhile",
        path);
}

static void drop(const char *aside)
{
    struct dt_err err;
    if (dt_files_remove_tree(aside, &err) < 0)
        dt_log(DT_LOG_WARN, "a copy that failed stays", "path", aside, "err", err.msg, NULL);
}

/* Copies beside the destination first, so that it appears whole or not at all. */
static int copy_and_remove(const char *from, const char *to, struct dt_err *err)
{
    char random[17];
    dt_rand_alnum(random, 16);
    DT_AUTO_BUF struct dt_buf aside;
    dt_buf_init(&aside, 8192);
    const char *slash = strrchr(to, '/');
    size_t dir = slash != NULL ? (size_t)(slash - to) + 1 : 0;
    if (dt_buf_addf(&aside, err, "%.*s.daytona-%s.tmp", (int)dir, to, random) < 0)
        return -1;
    if (copy_entry(AT_FDCWD, from, AT_FDCWD, aside.p, 0, err) < 0) {
        drop(aside.p);
        return dt_err_wrap(err, "move");
    }
    if (rename_new(aside.p, to) < 0) {
        int number = errno;
        drop(aside.p);
        return number == EEXIST
                   ? dt_err_set(err, DT_E_FILE_EXISTS, "destination already exists: %.400s", to)
                   : dt_reply_file_errno(err, number, to);
    }
    if (dt_files_remove_tree(from, err) < 0)
        return dt_err_wrap(err, "copied, but the source could not be removed");
    return 0;
}

int dt_files_move(const char *from, const char *to, struct dt_err *err)
{
    struct stat st;
    if (lstat(from, &st) < 0)
        return dt_reply_file_errno(err, errno, from);
    if (rename_new(from, to) == 0)
        return 0;
    switch (errno) {
    case EEXIST:
    case ENOTEMPTY:
        return dt_err_set(err, DT_E_FILE_EXISTS, "destination already exists: %.400s", to);
    case EXDEV:
        return copy_and_remove(from, to, err);
    case EINVAL:
        return dt_err_set(err, DT_E_BAD_REQUEST, "%.200s cannot be moved into itself", from);
    default:
        return dt_reply_file_errno(err, errno, errno == ENOENT ? to : from);
    }
}
