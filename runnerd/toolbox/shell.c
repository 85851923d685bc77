#include "toolbox/shell.h"

#include <sys/mman.h>

#include "base/fd.h"

enum { ARG_MAX_BYTES = 128 * 1024 - 1 };

const char *dt_shell_find(struct dt_err *err)
{
    static const char *const shells[] = {"/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash",
                                         "/bin/sh", "/usr/bin/sh"};
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (access(shells[i], X_OK) == 0)
            return shells[i];
    }
    (void)dt_err_set(err, DT_E_UNSUPPORTED,
                     "the sandbox's image has no shell (neither bash nor sh): commands cannot run; "
                     "create the sandbox from a snapshot that has one");
    return NULL;
}

const char *dt_shell_login(const char *wanted, struct dt_err *err)
{
    static const char *const refusals[] = {"nologin", "false", "true", "sync"};
    const char *slash = strrchr(wanted, '/');
    bool usable = wanted[0] == '/' && access(wanted, X_OK) == 0;
    for (size_t i = 0; usable && i < sizeof(refusals) / sizeof(refusals[0]); i++)
        usable = strcmp(slash + 1, refusals[i]) != 0;
    return usable ? wanted : dt_shell_find(err);
}

struct dt_str dt_shell_legacy(struct dt_str command)
{
    const struct dt_str before = DT_STR("sh -c \""), after = DT_STR(" | base64 -d | sh\"");
    const struct dt_str none = {NULL, 0};
    command = dt_str_trim(command);
    if (!dt_str_starts(command, before) || command.n < before.n + after.n)
        return none;
    struct dt_str inner = dt_str(command.p + before.n, command.n - before.n - 1);
    size_t end = after.n - 1;
    if (command.p[command.n - 1] != '"' || memcmp(inner.p + inner.n - end, after.p, end) != 0)
        return none;
    if (!dt_str_starts(inner, DT_STR("export ")) && !dt_str_starts(inner, DT_STR("echo '")))
        return none;
    /* A quote or a backslash inside: somebody's own text, which wants a real shell. */
    if (memchr(inner.p, '"', inner.n) != NULL || memchr(inner.p, '\\', inner.n) != NULL)
        return none;
    return inner;
}

static int script_file(const char *command, struct dt_err *err)
{
    DT_AUTO_FD int fd = memfd_create("command", MFD_CLOEXEC);
    if (fd < 0)
        return dt_err_errno(err, "memfd");
    if (dt_fd_write_all(fd, command, strlen(command), err) < 0)
        return -1;
    return dt_take_fd(&fd);
}

int dt_shell_argv(struct dt_shell_argv *a, const char *command, struct dt_err *err)
{
    *a = (struct dt_shell_argv){.script_fd = -1};
    const char *shell = dt_shell_find(err);
    if (shell == NULL)
        return -1;
    struct dt_str legacy = dt_shell_legacy(dt_str_z(command));
    if (legacy.p != NULL) {
        a->own = strndup(legacy.p, legacy.n);
        if (a->own == NULL)
            return dt_err_set(err, DT_E_NOMEM, "command");
        command = a->own;
        if (access("/bin/sh", X_OK) == 0)
            shell = "/bin/sh";
    }
    a->argv[0] = shell;
    if (strlen(command) < ARG_MAX_BYTES) {
        a->argv[1] = "-c";
        a->argv[2] = command;
        return 0;
    }
    a->argv[1] = "/proc/self/fd/3";
    a->script_fd = script_file(command, err);
    if (a->script_fd < 0) {
        dt_shell_argv_done(a);
        return -1;
    }
    return 0;
}

void dt_shell_argv_done(struct dt_shell_argv *a)
{
    free(a->own);
    if (a->script_fd >= 0)
        (void)close(a->script_fd);
    *a = (struct dt_shell_argv){.script_fd = -1};
}
