#include "os/userns.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/fd.h"

int dt_userns_init(struct dt_err *err)
{
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
        return dt_err_errno(err, "set securebits: daytona-launcher must run as root");
    return 0;
}

pid_t dt_userns_clone(struct clone_args *args, uint32_t base)
{
    /* glibc's wrappers would tell its other threads, of which there are none. */
    if (syscall(SYS_setresgid, -1, base, -1) < 0 || syscall(SYS_setresuid, -1, base, -1) < 0)
        return -1;
    pid_t pid = (pid_t)syscall(SYS_clone3, args, sizeof(*args));
    if (pid == 0)
        return 0;
    int saved = errno;
    (void)syscall(SYS_setresuid, -1, 0, -1);
    (void)syscall(SYS_setresgid, -1, 0, -1);
    errno = saved;
    return pid;
}

int dt_userns_map(pid_t pid, uint32_t base, struct dt_err *err)
{
    static const char *const files[] = {"uid_map", "gid_map"};
    char map[64];
    (void)snprintf(map, sizeof(map), "0 %u %u\n", base, (unsigned)DT_USERNS_IDS);
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, files[i]);
        if (dt_fd_put(AT_FDCWD, path, map, err) < 0)
            return -1;
    }
    return 0;
}

int dt_userns_open(pid_t pid, int *ret, struct dt_err *err)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    *ret = open(path, O_RDONLY | O_CLOEXEC);
    return *ret < 0 ? dt_err_errno(err, "open %s", path) : 0;
}
