#include "toolbox/guest.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "gen/toolbox_api.h"
#include "toolbox/shell.h"

/* Replaces a link or a special file by a file; a root that cannot be written keeps what it has. */
static int open_etc(const char *path)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        DT_AUTO_FD int fd =
            open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
        struct stat st;
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
            return dt_take_fd(&fd);
        if (unlink(path) < 0)
            break;
    }
    return -1;
}

static void write_etc(const char *path, const char *text)
{
    if (text == NULL)
        return;
    struct dt_err err;
    DT_AUTO_FD int fd = open_etc(path);
    if (fd < 0 || ftruncate(fd, 0) < 0 || dt_fd_write_all(fd, text, strlen(text), &err) < 0 ||
        fchmod(fd, 0644) < 0)
        dt_log(DT_LOG_WARN, "cannot write a file", "path", path, "err", strerror(errno), NULL);
}

static void write_etc_files(const struct dt_tb_config *c)
{
    (void)mkdir("/etc", 0755);
    write_etc("/etc/resolv.conf", c->resolv_conf);
    write_etc("/etc/hosts", c->hosts);
    if (c->hostname != NULL) {
        char line[80];
        (void)snprintf(line, sizeof(line), "%s\n", c->hostname);
        write_etc("/etc/hostname", line);
    }
}

bool dt_env_name_ok(const char *name)
{
    for (size_t i = 0; name[i] != '\0'; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return name[0] != '\0';
}

int dt_env_check(const json_t *envs, struct dt_err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)envs, key, value)
    {
        if (!dt_env_name_ok(key))
            return dt_err_set(err, DT_E_BAD_REQUEST, "invalid environment variable name: '%.200s'",
                              key);
        if (!json_is_string(value))
            return dt_err_set(err, DT_E_BAD_REQUEST, "environment variable %.200s must be a string",
                              key);
        if (strlen(json_string_value(value)) != json_string_length(value))
            return dt_err_set(err, DT_E_BAD_REQUEST,
                              "environment variable %.200s holds a NUL character", key);
    }
    return 0;
}

/* One block: the pointers, then the texts. Two passes, the first only counts. */
struct env_block {
    char **list;
    char *text;
    size_t count, bytes;
};

static void env_add(struct env_block *b, const char *name, const char *value)
{
    size_t nn = strlen(name), vn = value != NULL ? strlen(value) : 0;
    size_t size = nn + (value != NULL ? 1 + vn : 0) + 1;
    if (b->list != NULL) {
        char *at = b->text + b->bytes;
        b->list[b->count] = at;
        memcpy(at, name, nn);
        if (value != NULL) {
            at[nn] = '=';
            memcpy(at + nn + 1, value, vn);
        }
        at[size - 1] = '\0';
    }
    b->count++;
    b->bytes += size;
}

static bool overridden(const char *entry, const json_t *extra)
{
    char name[256];
    size_t n = strcspn(entry, "=");
    if (extra == NULL || n >= sizeof(name))
        return false;
    memcpy(name, entry, n);
    name[n] = '\0';
    return json_object_get(extra, name) != NULL;
}

static void env_fill(struct env_block *b, char *const *base, const json_t *extra,
                     const char *const *more)
{
    b->count = b->bytes = 0;
    for (; base != NULL && *base != NULL; base++) {
        if (!overridden(*base, extra))
            env_add(b, *base, NULL);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)extra, key, value) env_add(b, key, json_string_value(value));
    for (; more != NULL && *more != NULL; more++)
        env_add(b, *more, NULL);
}

static char **env_make(char *const *base, const json_t *extra, const char *const *more,
                       struct dt_err *err)
{
    struct env_block b = {.list = NULL};
    env_fill(&b, base, extra, more);
    size_t head = (b.count + 1) * sizeof(char *);
    char *block = malloc(head + b.bytes);
    if (block == NULL) {
        (void)dt_err_set(err, DT_E_NOMEM, "environment of %zu bytes", b.bytes);
        return NULL;
    }
    b.list = (char **)(void *)block;
    b.text = block + head;
    env_fill(&b, base, extra, more);
    b.list[b.count] = NULL;
    return b.list;
}

char **dt_guest_env(const struct dt_guest *g, const json_t *extra, const char *const *more,
                    struct dt_err *err)
{
    return env_make(g->env, extra, more, err);
}

static bool listed(const char *entry, const json_t *names)
{
    size_t n = strcspn(entry, "="), i;
    const json_t *name;
    json_array_foreach((json_t *)names, i, name)
    {
        if (json_string_length(name) == n && memcmp(json_string_value(name), entry, n) == 0)
            return true;
    }
    return false;
}

static bool value_begins(const char *entry, const char *prefix)
{
    const char *eq = strchr(entry, '=');
    return prefix != NULL && prefix[0] != '\0' && eq != NULL &&
           strncmp(eq + 1, prefix, strlen(prefix)) == 0;
}

static int check_set(const json_t *set, struct dt_err *err)
{
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)set, key, value)
    {
        if (!dt_env_name_ok(key) || strlen(key) > 255)
            return dt_err_set(
                err, DT_E_INVALID,
                "'%.60s' cannot be a variable's name: it must be at most 255 letters, "
                "digits and underscores and begin with no digit",
                key);
        if (strlen(json_string_value(value)) != json_string_length(value))
            return dt_err_set(err, DT_E_INVALID, "%.60s: its value holds a NUL character", key);
    }
    return 0;
}

static size_t env_bytes(char *const *env)
{
    size_t n = 0;
    for (; *env != NULL; env++)
        n += strlen(*env) + 1 + sizeof(*env);
    return n;
}

int dt_guest_env_update(struct dt_guest *g, const json_t *set, const json_t *unset,
                        const char *value_prefix, struct dt_err *err)
{
    size_t count = 0, kept = 0;
    while (g->env[count] != NULL)
        count++;
    DT_AUTO_FREE char **keep = calloc(count + 1, sizeof(*keep));
    if (keep == NULL)
        return dt_err_set(err, DT_E_NOMEM, "environment");
    if (check_set(set, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        bool by_value = value_begins(g->env[i], value_prefix) && !overridden(g->env[i], set);
        if (!by_value && !listed(g->env[i], unset))
            keep[kept++] = g->env[i];
    }
    char **env = env_make(keep, set, NULL, err);
    if (env == NULL)
        return -1;
    if (env_bytes(env) > DT_GUEST_ENV_MAX) {
        free(env);
        return dt_err_set(err, DT_E_LIMIT, "the environment would be larger than %d bytes",
                          DT_GUEST_ENV_MAX);
    }
    free(g->env);
    g->env = env;
    return 0;
}

#define PATH_DEFAULT "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int make_env(struct dt_guest *g, const struct dt_tb_config *c, struct dt_err *err)
{
    char home[300], user[80], logname[80], shell[160], id[120], sandbox_user[120];
    (void)snprintf(home, sizeof(home), "HOME=%s", g->user.home);
    (void)snprintf(user, sizeof(user), "USER=%s", g->user.name);
    (void)snprintf(logname, sizeof(logname), "LOGNAME=%s", g->user.name);
    (void)snprintf(shell, sizeof(shell), "SHELL=%s", g->user.shell);
    (void)snprintf(id, sizeof(id), "DAYTONA_SANDBOX_ID=%s", g->id);
    (void)snprintf(sandbox_user, sizeof(sandbox_user), "DAYTONA_SANDBOX_USER=%s", g->user.name);
    char *base[] = {PATH_DEFAULT,   home, user,         logname, shell,
                    "LANG=C.UTF-8", id,   sandbox_user, NULL};
    const char *key;
    void *next;
    json_t *value;
    json_object_foreach_safe(c->env, next, key, value)
    {
        if (key[0] == '\0' || strchr(key, '=') != NULL)
            (void)json_object_del(c->env, key);
    }
    g->env = env_make(base, c->env, NULL, err);
    return g->env != NULL ? 0 : -1;
}

static int make_workdir(struct dt_guest *g, const char *wanted, struct dt_err *err)
{
    const char *const choices[] = {wanted != NULL ? wanted : "", g->user.home, "/"};
    for (size_t i = 0; i < 3; i++) {
        struct stat st;
        if (choices[i][0] != '/' || stat(choices[i], &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        g->workdir = strdup(choices[i]);
        break;
    }
    if (g->workdir == NULL && (g->workdir = strdup("/")) == NULL)
        return dt_err_set(err, DT_E_NOMEM, "work dir");
    return 0;
}

/* A lookup costs far more the first time. Nothing blocks, whatever the image has there. */
static void look_at(int dir, const char *name)
{
    DT_AUTO_FD int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void look_into(const char *folder)
{
    enum { MOST = 32 };
    DIR *d = opendir(folder);
    if (d == NULL)
        return;
    const struct dirent *e;
    for (int i = 0; i < MOST && (e = readdir(d)) != NULL; i++)
        look_at(dirfd(d), e->d_name);
    (void)closedir(d);
}

void dt_guest_prepare(void)
{
    /* Opening for writing copies a file up from the image's layer. */
    static const char *const written[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/hostname"};
    static const char *const folders[] = {"/home", "/usr/lib/locale/C.utf8",
                                          "/usr/lib/locale/C.utf8/LC_MESSAGES"};
    static const char *const files[] = {
        "/etc/passwd",
        "/etc/group",
        "/etc/ld.so.preload",
        "/etc/ld.so.cache",
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib/x86_64-linux-gnu/libtinfo.so.6",
        "/usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache",
        "/lib/ld-linux-aarch64.so.1",
        "/lib/aarch64-linux-gnu/libc.so.6",
        "/lib/aarch64-linux-gnu/libtinfo.so.6",
        "/usr/lib/aarch64-linux-gnu/gconv/gconv-modules.cache",
        "/lib/ld-musl-x86_64.so.1",
        "/lib/ld-musl-aarch64.so.1",
        "/usr/lib/locale/locale-archive",
        "/usr/lib/locale/C.UTF-8",
        "/usr/share/locale/locale.alias",
    };
    struct dt_err err;
    (void)mkdir("/etc", 0755);
    for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
        DT_AUTO_FD int fd = open_etc(written[i]);
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        look_at(AT_FDCWD, files[i]);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        look_into(folders[i]);
    const char *shell = dt_shell_find(&err);
    if (shell != NULL)
        look_at(AT_FDCWD, shell);
    json_object_seed(0);
}

/* Waits on a socket until the sandbox is somebody's; a file is what it is. Takes `fd`. */
static int await_config(int fd, struct dt_err *err)
{
    DT_AUTO_FD int own = fd;
    struct stat st;
    if (fstat(own, &st) < 0 || !S_ISSOCK(st.st_mode))
        return dt_take_fd(&own);
    char byte;
    int file;
    unsigned n = 1;
    ssize_t got;
    do
        got = dt_fdpass_recv(own, &byte, 1, &file, &n, 0);
    while (got < 0 && errno == EINTR);
    if (got == 1 && n == 1)
        return file;
    return dt_err_set(err, DT_E_GONE, "no configuration came over descriptor %d", fd);
}

static int read_config(int fd, struct dt_tb_config *out, struct dt_err *err)
{
    DT_AUTO_FD int own = await_config(fd, err);
    DT_AUTO_BUF struct dt_buf text;
    if (own < 0)
        return -1;
    dt_buf_init(&text, DT_GUEST_CONFIG_MAX);
    if (lseek(own, 0, SEEK_SET) < 0 && errno != ESPIPE)
        return dt_err_errno(err, "configuration on descriptor %d", fd);
    if (dt_fd_read_all(own, &text, err) < 0)
        return dt_err_wrap(err, "configuration on descriptor %d", fd);
    DT_AUTO_JSON json_t *j = dt_json_parse(dt_buf_str(&text), 8, err);
    if (j == NULL || dt_tb_config_parse(j, out, err) < 0)
        return dt_err_wrap(err, "configuration");
    return 0;
}

int dt_guest_init(struct dt_guest *g, int config_fd, struct dt_err *err)
{
    struct dt_tb_config c = {.id = NULL};
    *g = (struct dt_guest){.oom_fd = -1, .exe_fd = -1};
    if (read_config(config_fd, &c, err) < 0)
        return -1;
    if (dt_user_load(c.user != NULL ? c.user : "", c.user_required, &g->user, err) < 0) {
        dt_tb_config_done(&c);
        g->no_user = true;
        return -1;
    }
    write_etc_files(&c);
    dt_user_make_home(&g->user);
    g->oom_fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    g->exe_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    g->id = c.id != NULL ? strdup(c.id) : NULL;
    int r = g->id == NULL ? dt_err_set(err, DT_E_NOMEM, "sandbox id") : 0;
    if (r == 0)
        r = dt_user_become(&g->user, err);
    if (r == 0)
        r = make_env(g, &c, err);
    if (r == 0)
        r = make_workdir(g, c.workdir, err);
    g->entrypoint = json_incref(c.entrypoint);
    dt_tb_config_done(&c);
    if (r < 0)
        dt_guest_done(g);
    return r;
}

void dt_guest_done(struct dt_guest *g)
{
    free(g->id);
    free(g->workdir);
    free(g->env);
    json_decref(g->entrypoint);
    if (g->oom_fd >= 0)
        (void)close(g->oom_fd);
    if (g->exe_fd >= 0)
        (void)close(g->exe_fd);
    *g = (struct dt_guest){.oom_fd = -1, .exe_fd = -1};
}

char *dt_guest_path(const struct dt_guest *g, struct dt_str path, struct dt_err *err)
{
    if (path.n == 0) {
        (void)dt_err_set(err, DT_E_INVALID_FILE_PATH, "path is required");
        return NULL;
    }
    if (memchr(path.p, '\0', path.n) != NULL) {
        (void)dt_err_set(err, DT_E_INVALID_FILE_PATH, "path must not contain a NUL character");
        return NULL;
    }
    if (path.n >= PATH_MAX) {
        (void)dt_err_set(err, DT_E_INVALID_FILE_PATH, "path is longer than %d bytes", PATH_MAX - 1);
        return NULL;
    }
    size_t base = path.p[0] == '/' ? 0 : strlen(g->workdir) + 1;
    char *out = malloc(base + path.n + 1);
    if (out == NULL) {
        (void)dt_err_set(err, DT_E_NOMEM, "path");
        return NULL;
    }
    if (base > 0) {
        memcpy(out, g->workdir, base - 1);
        out[base - 1] = '/';
    }
    memcpy(out + base, path.p, path.n);
    out[base + path.n] = '\0';
    return out;
}

/* The default folders may be gone; one that was asked for must be there. */
char *dt_guest_cwd(const struct dt_guest *g, const char *wanted, struct dt_err *err)
{
    if (wanted != NULL && wanted[0] != '\0')
        return dt_guest_path(g, dt_str_z(wanted), err);
    const char *dir = access(g->workdir, X_OK) == 0     ? g->workdir
                      : access(g->user.home, X_OK) == 0 ? g->user.home
                                                        : "/";
    return dt_guest_path(g, dt_str_z(dir), err);
}
