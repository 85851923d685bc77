/*
 * probe [--only calls|files|network|processes] [--no-file PATH] [--no-tcp ADDR:PORT] [--no-unix
 * PATH|@NAME]...
 *
 * Prints a line of JSON per attempt, {"probe":...,"refused":true|false,"detail":...}, and ends with
 * 1 when anything was not refused, with 2 when it could not do its work. Must not be pid 1: what
 * pid 1 hides from others is part of what is tried.
 */
#include "probe.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_MS = 20000, EXTRA_MAX = 64 };

static int allowed;

void say(struct outcome *out, bool refused, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(out->detail, sizeof(out->detail), fmt, ap);
    va_end(ap);
    out->refused = refused;
}

void judge(struct outcome *out, long ret, const int *wants, size_t n)
{
    int e = errno;
    if (ret >= 0) {
        say(out, false, "succeeded with %ld", ret);
        return;
    }
    bool refused = n == 0 || wants[0] == 0;
    for (size_t i = 0; i < n; i++)
        refused = refused || (wants[i] != 0 && wants[i] == e);
    say(out, refused, "%s", strerrorname_np(e) != NULL ? strerrorname_np(e) : "unknown error");
}

void judge_any(struct outcome *out, long ret)
{
    judge(out, ret, NULL, 0);
}

static void run_child(const struct probe *p, int to)
{
    struct outcome out = {.refused = false, .detail = "the attempt said nothing"};
    p->attempt(p, &out);
    ssize_t n = write(to, &out, sizeof(out));
    _exit(n == (ssize_t)sizeof(out) ? 0 : 1);
}

static void wait_child(pid_t pid, int from, struct outcome *out)
{
    struct pollfd pfd = {.fd = from, .events = POLLIN};
    int status, ready = poll(&pfd, 1, DEADLINE_MS);
    bool told = ready > 0 && read(from, out, sizeof(*out)) == (ssize_t)sizeof(*out);
    if (ready <= 0)
        (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    if (told)
        return;
    if (ready <= 0)
        say(out, false, "no answer within %d s", DEADLINE_MS / 1000);
    else if (WIFSIGNALED(status))
        say(out, WTERMSIG(status) == SIGSYS, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        say(out, false, "ended with %d", WEXITSTATUS(status));
}

static void print_text(const char *text)
{
    (void)putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            (void)printf("\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            (void)printf("\\u%04x", c);
        else
            (void)putchar(c);
    }
    (void)putchar('"');
}

static int run(const struct probe *p)
{
    if ((p->who == ROOT_ONLY && geteuid() != 0) || (p->who == USER_ONLY && geteuid() == 0))
        return 0;
    int pipe_fd[2];
    if (pipe2(pipe_fd, O_CLOEXEC) < 0)
        return -1;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0) {
        (void)close(pipe_fd[0]);
        run_child(p, pipe_fd[1]);
    }
    struct outcome out;
    (void)close(pipe_fd[1]);
    wait_child(pid, pipe_fd[0], &out);
    (void)close(pipe_fd[0]);
    (void)printf("{\"probe\":");
    print_text(p->name);
    (void)printf(",\"refused\":%s,\"detail\":", out.refused ? "true" : "false");
    print_text(out.detail);
    (void)printf("}\n");
    allowed += !out.refused;
    return 0;
}

static int run_list(const struct probe_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (run(&list->rows[i]) < 0)
            return -1;
    return 0;
}

static int add(const char *option, const char *value)
{
    static const struct {
        const char *option;
        void (*attempt)(const struct probe *p, struct outcome *out);
    } kinds[] = {{"--no-file", attempt_exists},
                 {"--no-tcp", attempt_connect_tcp},
                 {"--no-unix", attempt_connect_unix}};
    char name[300];
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].option, option) != 0)
            continue;
        (void)snprintf(name, sizeof(name), "%s %s", option + 5, value);
        const struct probe p = {.name = name, .attempt = kinds[i].attempt, .path = value};
        return run(&p);
    }
    errno = EINVAL;
    return -1;
}

/* Processes come first, before anything of our own is open. */
static int run_lists(const char *only)
{
    static const struct {
        const char *name;
        const struct probe_list *list;
    } lists[] = {{"processes", &probe_processes},
                 {"calls", &probe_calls},
                 {"files", &probe_files},
                 {"network", &probe_network}};
    bool ran = false;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (only != NULL && strcmp(only, lists[i].name) != 0)
            continue;
        if (run_list(lists[i].list) < 0)
            return -1;
        ran = true;
    }
    errno = EINVAL;
    return ran ? 0 : -1;
}

int main(int argc, char **argv)
{
    const char *only = argc > 2 && strcmp(argv[1], "--only") == 0 ? argv[2] : NULL;
    if (getpid() == 1 || argc % 2 == 0) {
        (void)fprintf(stderr, "usage: probe [--only LIST] [--no-file PATH] [--no-tcp ADDR:PORT] "
                              "[--no-unix NAME]... (not as pid 1)\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (run_lists(only) < 0) {
        perror("probe");
        return 2;
    }
    for (int i = only != NULL ? 3 : 1; i + 1 < argc; i += 2)
        if (add(argv[i], argv[i + 1]) < 0) {
            perror(argv[i]);
            return 2;
        }
    return allowed == 0 ? 0 : 1;
}
