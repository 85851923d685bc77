#include "runnerd/privilege.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { LAUNCHER_FD = 3, FILES_MAX = 65536 };

struct dt_identity dt_identity_of(int64_t fallback)
{
    char room[4096];
    struct passwd p, *found = NULL;
    if (getpwnam_r("daytona", &p, room, sizeof(room), &found) == 0 && found != NULL)
        return (struct dt_identity){p.pw_uid, p.pw_gid};
    return (struct dt_identity){(uid_t)fallback, (gid_t)fallback};
}

static int folder(int parent, const char *name, const struct dt_identity *who, mode_t mode,
                  struct dt_err *err)
{
    if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
        return dt_err_errno(err, "make %s", name);
    DT_AUTO_FD int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return dt_err_errno(err, "open %s", name);
    if (geteuid() == 0 && (fchown(fd, who->uid, who->gid) < 0 || fchmod(fd, mode) < 0))
        return dt_err_errno(err, "owner of %s", name);
    return 0;
}

/* Only the last component is made: a wrong path should not grow a tree. */
static int open_data_dir(const char *path, int *ret, struct dt_err *err)
{
    struct stat st;
    if (mkdir(path, 0711) < 0 && errno != EEXIST)
        return dt_err_errno(err, "data directory %s", path);
    /* Who is not root can pass the folder and not read it. */
    DT_AUTO_FD int fd = open(path, (geteuid() == 0 ? O_RDONLY : O_PATH) | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return dt_err_errno(err, "data directory %s", path);
    /* The daemon's own user must be able to pass, nobody may put things there. */
    if (geteuid() == 0 && st.st_uid == 0 && fchmod(fd, (st.st_mode & 0755) | 0111) < 0)
        return dt_err_errno(err, "data directory %s", path);
    *ret = dt_take_fd(&fd);
    return 0;
}

int dt_prepare_folders(const char *data_dir, const struct dt_identity *who, struct dt_err *err)
{
    static const struct dt_identity root = {0, 0};
    DT_AUTO_FD int data = -1;
    if (open_data_dir(data_dir, &data, err) < 0 || folder(data, "state", who, 0700, err) < 0 ||
        folder(data, "run", who, 0755, err) < 0 ||
        (geteuid() == 0 && folder(data, "sandboxes", &root, 0711, err) < 0))
        return dt_err_wrap(err, "%s", data_dir);
    DT_AUTO_FD int state = openat(data, "state", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DT_AUTO_FD int file =
        openat(state, "daytona.db", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return dt_err_errno(err, "%s/state/daytona.db", data_dir);
    if (geteuid() == 0 && fchown(file, who->uid, who->gid) < 0)
        return dt_err_errno(err, "%s/state/daytona.db", data_dir);
    return 0;
}

static int own_folder(char *out, size_t size, struct dt_err *err)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n < 0)
        return dt_err_errno(err, "/proc/self/exe");
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    if (slash == NULL)
        return dt_err_set(err, DT_E_SYSTEM, "cannot find the programs' folder");
    *slash = '\0';
    return 0;
}

/* In the child: descriptor 3 and nothing else above the standard ones. */
static void run_launcher(int fd, const char *program, const char *data_dir,
                         const struct dt_identity *who, int64_t bandwidth)
{
    char uid[16], gid[16], number[16], mbits[24];
    (void)snprintf(uid, sizeof(uid), "%u", who->uid);
    (void)snprintf(gid, sizeof(gid), "%u", who->gid);
    (void)snprintf(number, sizeof(number), "%d", LAUNCHER_FD);
    (void)snprintf(mbits, sizeof(mbits), "%lld", (long long)bandwidth);
    const char *const argv[] = {program, "--data-dir", data_dir, "--uid",       uid,   "--gid",
                                gid,     "--fd",       number,   "--bandwidth", mbits, NULL};
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* The terminal's ^C is for runnerd, which ends the launcher by closing the connection. */
    (void)setsid();
    if (fd == LAUNCHER_FD ? fcntl(fd, F_SETFD, 0) == 0 : dup2(fd, LAUNCHER_FD) == LAUNCHER_FD) {
        (void)syscall(SYS_close_range, LAUNCHER_FD + 1, ~0u, 0);
        (void)execv(program, (char *const *)argv);
    }
    (void)dprintf(2, "daytona-runnerd: cannot start %s: %m\n", program);
    _exit(127);
}

int dt_launcher_spawn(const char *data_dir, const struct dt_identity *who, int64_t bandwidth,
                      pid_t *pid, struct dt_err *err)
{
    char beside[4096], program[4096 + 32];
    int pair[2];
    if (own_folder(beside, sizeof(beside), err) < 0)
        return -1;
    (void)snprintf(program, sizeof(program), "%s/daytona-launcher", beside);
    if (access(program, X_OK) < 0)
        return dt_err_errno(err, "%s (it belongs beside daytona-runnerd)", program);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return dt_err_errno(err, "socketpair");
    *pid = fork();
    if (*pid == 0)
        run_launcher(pair[1], program, data_dir, who, bandwidth);
    int failed = errno;
    (void)close(pair[1]);
    if (*pid < 0) {
        (void)close(pair[0]);
        errno = failed;
        return dt_err_errno(err, "start the launcher");
    }
    (void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
    return pair[0];
}

int dt_privileges_drop(const struct dt_identity *who, struct dt_err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return dt_err_errno(err, "drop capability %d", cap);
    }
    if (setgroups(0, NULL) < 0 || setresgid(who->gid, who->gid, who->gid) < 0 ||
        setresuid(who->uid, who->uid, who->uid) < 0)
        return dt_err_errno(err, "become user %u", who->uid);
    if (syscall(SYS_capset, &head, none) < 0)
        return dt_err_errno(err, "drop capabilities");
    if (setuid(0) == 0 || getuid() == 0)
        return dt_err_set(err, DT_E_SYSTEM, "privileges came back");
    return 0;
}

int dt_harden(struct dt_err *err)
{
    const struct rlimit no_core = {0, 0};
    struct rlimit files;
    (void)umask(077);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        setrlimit(RLIMIT_CORE, &no_core) < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0)
        return dt_err_errno(err, "limits");
    files.rlim_cur = files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        return dt_err_errno(err, "limits");
    return 0;
}

int dt_data_dir_lock(const char *data_dir, const struct dt_identity *who, struct dt_err *err)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/state/lock", data_dir) >= (int)sizeof(path))
        return dt_err_set(err, DT_E_INVALID, "data directory: the path is too long");
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return dt_err_errno(err, "%s", path);
    if (geteuid() == 0)
        (void)!fchown(fd, who->uid, who->gid);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        (void)close(fd);
        return dt_err_set(err, DT_E_CONFLICT,
                          "another daytona-runnerd uses %s: stop it, or give this one another "
                          "--data-dir",
                          data_dir);
    }
    return 0; /* kept open until the process ends */
}
