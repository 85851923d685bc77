/* The mount API of Linux 5.2 and later, for glibc before 2.36, which has no functions for it. */
#ifndef DT_MOUNT_API_H
#define DT_MOUNT_API_H

#include <sys/mount.h>

#if !__GLIBC_PREREQ(2, 36)
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int fsopen(const char *type, unsigned flags)
{
    return (int)syscall(SYS_fsopen, type, flags);
}

static inline int fsconfig(int fd, unsigned cmd, const char *key, const void *value, int aux)
{
    return (int)syscall(SYS_fsconfig, fd, cmd, key, value, aux);
}

static inline int fsmount(int fd, unsigned flags, unsigned attributes)
{
    return (int)syscall(SYS_fsmount, fd, flags, attributes);
}

static inline int fspick(int at, const char *path, unsigned flags)
{
    return (int)syscall(SYS_fspick, at, path, flags);
}

static inline int open_tree(int at, const char *path, unsigned flags)
{
    return (int)syscall(SYS_open_tree, at, path, flags);
}

static inline int move_mount(int from_at, const char *from, int to_at, const char *to,
                             unsigned flags)
{
    return (int)syscall(SYS_move_mount, from_at, from, to_at, to, flags);
}

static inline int mount_setattr(int at, const char *path, unsigned flags, struct mount_attr *attr,
                                size_t size)
{
    return (int)syscall(SYS_mount_setattr, at, path, flags, attr, size);
}
#endif

#endif
