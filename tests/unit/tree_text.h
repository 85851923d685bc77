/* A file tree with one of everything, and a text that says all there is to know about a tree. */
#ifndef DT_TREE_TEXT_H
#define DT_TREE_TEXT_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "base/buf.h"

static inline void tree_put(int dir, const char *name, const char *text, mode_t mode)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static inline void tree_xattr(int dir, const char *name, const char *key, const void *value,
                              size_t n)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
    assert_int_equal(lsetxattr(path, key, value, n, 0), 0);
}

/* 1 MiB of holes around two stretches of data. */
static inline void tree_sparse(int dir, const char *name)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "front", 5, 65536), 5);
    assert_int_equal(pwrite(fd, "back", 4, 524288 + 77), 4);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_int_equal(fsync(fd), 0);
    (void)close(fd);
}

static inline void tree_socket(int dir, const char *name)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", dir, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    (void)close(fd);
}

/* What a sandbox and the overlay above it may leave in `dir`. */
static inline void tree_fill(int dir)
{
    static const char binary[] = "\0\x01\xff\n";
    assert_int_equal(mkdirat(dir, "home", 0755), 0);
    int home = openat(dir, "home", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tree_put(home, "plain", "text\n", 0644);
    tree_put(home, "empty", "", 0);
    tree_put(home, "setuid", "#!", 04755);
    tree_put(home, "-name with\nnewline", "x", 0600);
    assert_int_equal(fchownat(home, "plain", 1000, 1001, 0), 0);
    assert_int_equal(linkat(home, "plain", home, "hard", 0), 0);
    assert_int_equal(linkat(home, "plain", dir, "hard elsewhere", 0), 0);
    assert_int_equal(symlinkat("../no/such/place", home, "dangling"), 0);
    assert_int_equal(fchownat(home, "dangling", 65535, 65535, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(mkfifoat(home, "fifo", 0622), 0);
    tree_socket(home, "socket");
    assert_int_equal(mknodat(home, "whiteout", S_IFCHR, makedev(0, 0)), 0);
    tree_sparse(home, "sparse");
    tree_xattr(home, "plain", "user.binary", binary, sizeof(binary));
    tree_xattr(home, "sparse", "user.overlay.metacopy", "", 0);
    assert_int_equal(mkdirat(dir, "opaque", 01777), 0);
    assert_int_equal(fchmodat(dir, "opaque", 01777, 0), 0);
    tree_xattr(dir, "opaque", "user.overlay.opaque", "y", 1);
    tree_xattr(dir, "opaque", "trusted.overlay.redirect", "/somewhere", 10);
    const struct timespec old[2] = {{-1, 1}, {-86400, 123456789}};
    const struct timespec late[2] = {{1, 0}, {4000000000, 999999999}};
    assert_int_equal(utimensat(home, "plain", old, 0), 0);
    assert_int_equal(utimensat(home, "dangling", late, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(utimensat(dir, "opaque", late, 0), 0);
    assert_int_equal(futimens(home, old), 0);
    (void)close(home);
}

static inline void tree_say_xattrs(struct dt_buf *out, int dir, const char *name)
{
    char path[512], names[4096], value[4096];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
    ssize_t n = llistxattr(path, names, sizeof(names));
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
        ssize_t size = lgetxattr(path, names + at, value, sizeof(value));
        (void)!dt_buf_addf(out, NULL, " %s=", names + at);
        for (ssize_t i = 0; i < size; i++)
            (void)!dt_buf_addf(out, NULL, "%02x", (unsigned char)value[i]);
    }
}

static inline void tree_say_data(struct dt_buf *out, int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    for (off_t data = lseek(fd, 0, SEEK_DATA), end; data >= 0; data = lseek(fd, end, SEEK_DATA)) {
        unsigned sum = 0;
        char room[4096];
        end = lseek(fd, data, SEEK_HOLE);
        for (off_t at = data; at < end;) {
            size_t want = (size_t)(end - at) < sizeof(room) ? (size_t)(end - at) : sizeof(room);
            ssize_t n = pread(fd, room, want, at);
            if (n <= 0)
                break;
            for (ssize_t i = 0; i < n; i++)
                sum = sum * 31 + (unsigned char)room[i];
            at += n;
        }
        (void)!dt_buf_addf(out, NULL, " [%lld,%lld) %08x", (long long)data, (long long)end, sum);
    }
    (void)close(fd);
}

static inline int tree_by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Everything below `dir`, sorted. Inode numbers stand for the first path that has them. */
static inline void tree_say(struct dt_buf *out, int dir, const char *prefix)
{
    struct dirent **names = NULL;
    int n = scandirat(dir, ".", &names, NULL, tree_by_name);
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        struct stat st;
        char target[256] = "", path[512];
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            free(names[i]);
            continue;
        }
        assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
        (void)!readlinkat(dir, name, target, sizeof(target) - 1);
        (void)snprintf(path, sizeof(path), "%s/%s", prefix, name);
        (void)!dt_buf_addf(out, NULL, "%s %o %u:%u links %lu size %lld %lld.%09ld dev %lx '%s'",
                           path, st.st_mode, st.st_uid, st.st_gid,
                           S_ISDIR(st.st_mode) ? 0 : st.st_nlink,
                           S_ISDIR(st.st_mode) ? 0 : (long long)st.st_size,
                           (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_rdev, target);
        tree_say_xattrs(out, dir, name);
        if (S_ISREG(st.st_mode))
            tree_say_data(out, dir, name);
        (void)!dt_buf_addz(out, "\n", NULL);
        if (S_ISDIR(st.st_mode)) {
            int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
            tree_say(out, fd, path);
            (void)close(fd);
        }
        free(names[i]);
    }
    free(names);
}

/* free() it. */
static inline char *tree_text(int dir, const char *name)
{
    struct dt_buf b;
    dt_buf_init(&b, 1 << 20);
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    tree_say(&b, fd, "");
    (void)close(fd);
    assert_true(b.n > 0);
    return dt_buf_take(&b);
}

#endif
