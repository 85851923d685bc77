#include "os/userns.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

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

static void wait_for_end_of(int fd)
{
    char c;
    while (read(fd, &c, 1) < 0 && errno == EINTR)
        ;
    _exit(0);
}

int dt_userns_new(uint32_t base, int *ret, struct dt_err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return dt_err_errno(err, "pipe");
    DT_AUTO_FD int hold = ends[0];
    DT_AUTO_FD int release = ends[1];
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    pid_t pid = dt_userns_clone(&args, base);
    if (pid < 0)
        return dt_err_errno(err, "make a user namespace");
    if (pid == 0) {
        (void)close(release);
        wait_for_end_of(hold);
    }

    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    DT_AUTO_FD int ns = -1;
    int rc = dt_userns_map(pid, base, err);
    if (rc == 0 && (ns = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        rc = dt_err_errno(err, "open %s", path);
    (void)close(dt_take_fd(&release));
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (rc == 0)
        *ret = dt_take_fd(&ns);
    return rc;
}
