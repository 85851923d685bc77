/*
 * Stands in for the toolbox as pid 1 of a sandbox: a static program that needs nothing from the
 * image. Each connection to descriptor 3 is one command, a letter and its argument up to the end of
 * input:
 *
 *   R path   the file's content          C text  `/bin/sh -c text` as root, then "\n=status"
 *   L path   the folder's names          U text  the same as user 1000
 *   D        descriptors and their targets, of this process
 *   G        the configuration on descriptor 4
 *   X n      exits with n                 H      ignores SIGTERM from now on
 *
 * Started with the argument `euid` it prints that.
 */

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LISTENER = 3, CONFIG = 4 };

static void on_term(int sig)
{
    (void)sig;
    _exit(0);
}

/* The configuration comes over CONFIG once the sandbox is somebody's; its file takes its place. */
static void receive_config(void)
{
    char byte;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    if (recvmsg(CONFIG, &m, 0) != 1 || CMSG_FIRSTHDR(&m) == NULL)
        _exit(2);
    int fd;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
    (void)dup2(fd, CONFIG);
    (void)close(fd);
}

static void read_file(int out, const char *path)
{
    char buf[4096];
    ssize_t n;
    int fd = *path != '\0' ? open(path, O_RDONLY) : CONFIG;
    if (fd < 0) {
        dprintf(out, "!%m");
        return;
    }
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        if (write(out, buf, (size_t)n) != n)
            break;
    }
}

static void list_folder(int out, const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        dprintf(out, "!%m");
        return;
    }
    const struct dirent *e;
    while ((e = readdir(dir)) != NULL)
        dprintf(out, "%s\n", e->d_name);
    (void)closedir(dir);
}

static void list_descriptors(int out)
{
    for (int fd = 0; fd < 1024; fd++) {
        char path[64];
        char target[256];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        if (n > 0 && fd != out)
            dprintf(out, "%d %.*s\n", fd, (int)n, target);
    }
}

static void run(int out, const char *text, uid_t uid)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(out, 1);
        (void)dup2(out, 2);
        (void)close(LISTENER);
        if (uid != 0 && (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
                         setresuid(uid, uid, uid) < 0))
            _exit(126);
        char *env[] = {"PATH=/bin:/usr/bin:/sbin:/usr/sbin", NULL};
        (void)execle("/bin/sh", "sh", "-c", text, (char *)NULL, env);
        dprintf(out, "!%m");
        _exit(127);
    }
    if (pid < 0)
        dprintf(out, "!%m");
    while (pid > 0 && waitpid(pid, &status, 0) != pid)
        ;
    dprintf(out, "\n=%d", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void serve(int fd)
{
    static char text[65536];
    size_t n = 0;
    ssize_t got;
    while (n < sizeof(text) - 1 && (got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    const char *argument = n > 1 ? text + 1 : "";
    switch (text[0]) {
    case 'R':
        read_file(fd, argument);
        break;
    case 'G':
        read_file(fd, "");
        break;
    case 'L':
        list_folder(fd, argument);
        break;
    case 'D':
        list_descriptors(fd);
        break;
    case 'C':
        run(fd, argument, 0);
        break;
    case 'U':
        run(fd, argument, 1000);
        break;
    case 'H':
        (void)signal(SIGTERM, SIG_IGN);
        dprintf(fd, "ok");
        break;
    case 'X':
        _exit((int)strtol(argument, NULL, 10));
    default:
        dprintf(fd, "!unknown command");
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "euid") == 0) {
        (void)printf("%u\n", (unsigned)geteuid());
        return 0;
    }
    /* As the toolbox does: nothing of pid 1 is for others. */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    receive_config();
    (void)fcntl(LISTENER, F_SETFD, FD_CLOEXEC);
    (void)fcntl(CONFIG, F_SETFD, FD_CLOEXEC);
    (void)signal(SIGTERM, on_term);
    (void)signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept4(LISTENER, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return 1;
        serve(fd);
        (void)close(fd);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}
