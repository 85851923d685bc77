#include "os/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Newer than the headers of some systems. */
enum {
    FS_REFER = 1 << 13,     /* version 2 */
    FS_TRUNCATE = 1 << 14,  /* version 3 */
    FS_IOCTL_DEV = 1 << 15, /* version 5 */
    SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0,
    SCOPE_SIGNAL = 1 << 1, /* both version 6 */
};

struct ruleset {
    uint64_t fs;
    uint64_t net;
    uint64_t scoped;
};

enum {
    FILES = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE |
            LANDLOCK_ACCESS_FS_EXECUTE | FS_IOCTL_DEV, /* what a rule for a file may name */
    READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    WRITE = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
            LANDLOCK_ACCESS_FS_REMOVE_FILE | FS_TRUNCATE,
    SOCKETS = LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE,
};

/* Everything that the version knows. */
static struct ruleset all(int version)
{
    struct ruleset r = {.fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    if (version >= 2)
        r.fs |= FS_REFER;
    if (version >= 3)
        r.fs |= FS_TRUNCATE;
    if (version >= 5)
        r.fs |= FS_IOCTL_DEV;
    if (version >= 6)
        r.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
    return r;
}

static int add(int set, const struct dt_landlock_place *place, uint64_t handled, struct dt_err *err)
{
    struct stat st;
    DT_AUTO_FD int fd = open(place->path, O_PATH | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return dt_err_errno(err, "%s", place->path);
    struct landlock_path_beneath_attr rule = {.parent_fd = fd};
    if ((place->may & DT_LANDLOCK_READ) != 0)
        rule.allowed_access |= READ;
    if ((place->may & DT_LANDLOCK_WRITE) != 0)
        rule.allowed_access |= WRITE;
    if ((place->may & DT_LANDLOCK_SOCKETS) != 0)
        rule.allowed_access |= SOCKETS;
    rule.allowed_access &= S_ISDIR(st.st_mode) ? handled : handled & FILES;
    if (syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return dt_err_errno(err, "a rule for %s", place->path);
    return 0;
}

int dt_landlock_restrict(const struct dt_landlock_place *places, size_t n, struct dt_err *err)
{
    int version =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1)
        return 0;
    const struct ruleset handled = all(version);
    /* An older kernel takes a longer structure whose rest is zero. */
    DT_AUTO_FD int set = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
    if (set < 0)
        return dt_err_errno(err, "Landlock");
    for (size_t i = 0; i < n; i++) {
        if (add(set, &places[i], handled.fs, err) < 0)
            return dt_err_wrap(err, "Landlock");
    }
    if (syscall(SYS_landlock_restrict_self, set, 0) < 0)
        return dt_err_errno(err, "Landlock");
    return version;
}
