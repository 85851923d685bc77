#include "mcp/launch.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { EXIT_IN_USE = 75 }; /* of a runnerd whose data directory another one serves */

#define LOG_DIR  "/var/log/daytona"
#define LOG_FILE LOG_DIR "/runnerd.log"

struct dt_launch {
    uv_process_t process;
    bool over;
    bool released;
    int64_t status;
};

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

/* Also long after the start: a server that ends while we live must not stay as a zombie. */
static void on_exit_seen(uv_process_t *p, int64_t status, int sig)
{
    struct dt_launch *l = p->data;
    l->over = true;
    l->status = sig != 0 ? 128 + sig : status;
    if (l->released)
        uv_close((uv_handle_t *)p, on_closed);
}

const char *dt_launch_log(void)
{
    return "its log is " LOG_FILE;
}

static int program_path(char *out, size_t n, struct dt_err *err)
{
    char self[4096];
    size_t len = sizeof(self);
    if (uv_exepath(self, &len) < 0)
        return dt_err_set(err, DT_E_SYSTEM, "cannot find the path of this program");
    char *slash = strrchr(self, '/');
    size_t dir = slash != NULL ? (size_t)(slash - self) : 0;
    int got = snprintf(out, n, "%.*s/daytona-runnerd", (int)dir, self);
    if (got < 0 || (size_t)got >= n || access(out, X_OK) < 0)
        return dt_err_set(err, DT_E_UNREACHABLE,
                          "no Daytona server runs here and %.200s is not there to be started; run "
                          "`./dev build` in the Daytona source folder",
                          out);
    return 0;
}

static int open_log(struct dt_err *err)
{
    (void)mkdir(LOG_DIR, 0755);
    int fd = open(LOG_FILE, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 ? fd : dt_err_errno(err, "open %s", LOG_FILE);
}

int dt_launch_runnerd(uv_loop_t *loop, struct dt_launch **ret, struct dt_err *err)
{
    char path[4096];
    if (program_path(path, sizeof(path), err) < 0)
        return -1;
    DT_AUTO_FD int log = open_log(err);
    if (log < 0)
        return -1;
    struct dt_launch *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return dt_err_set(err, DT_E_NOMEM, "process");
    char port[] = "--port=0", proxy[] = "--proxy-port=0", idle[] = "--idle-exit=10";
    char *args[] = {path, port, proxy, idle, NULL};
    uv_stdio_container_t io[3] = {{.flags = UV_IGNORE},
                                  {.flags = UV_INHERIT_FD, .data.fd = log},
                                  {.flags = UV_INHERIT_FD, .data.fd = log}};
    uv_process_options_t opts = {.file = path,
                                 .args = args,
                                 .cwd = "/",
                                 .flags = UV_PROCESS_DETACHED,
                                 .stdio_count = 3,
                                 .stdio = io,
                                 .exit_cb = on_exit_seen};
    l->process.data = l;
    int why = uv_spawn(loop, &l->process, &opts);
    if (why < 0) {
        uv_close((uv_handle_t *)&l->process, on_closed);
        return dt_err_set(err, DT_E_SYSTEM, "start %.200s: %s", path, uv_strerror(why));
    }
    uv_unref((uv_handle_t *)&l->process);
    *ret = l;
    return 0;
}

bool dt_launch_failed(const struct dt_launch *l, struct dt_err *err)
{
    if (!l->over || l->status == EXIT_IN_USE)
        return false;
    (void)dt_err_set(err, DT_E_UNREACHABLE, "daytona-runnerd ended with status %lld; %s",
                     (long long)l->status, dt_launch_log());
    return true;
}

struct dt_launch *dt_launch_release(struct dt_launch *l)
{
    if (l != NULL)
        l->released = true;
    if (l != NULL && l->over)
        uv_close((uv_handle_t *)&l->process, on_closed);
    return NULL;
}
