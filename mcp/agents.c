#include "mcp/agents.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fd.h"
#include "gen/agent_templates.h"
#include "mcp/jsonc.h"
#include "mcp/toml.h"

#define SAFE_PATH "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/opt/homebrew/bin"

enum { FILE_MAX = 32 * 1024 * 1024, PATH_SIZE = 4096 };

extern char **environ;

/* What stands before the path in the file table. */
enum base {
    HOME,
    XDG /* Linux: ~/.config; macOS: ~/Library/Application Support */,
    OWN /* a variable */
};

static const struct agent {
    const char *name;
    enum base base;
    const char *variable; /* names the folder instead of the base, when set */
    const char *path;     /* below the base */
    const char *path_own; /* below the variable's folder */
    const char *other;    /* taken instead where it exists and `path` does not */
    const char *env_path; /* where environment variables go: members from the root, by '/' */
} agents[] = {
    {"claude", XDG, NULL, "Claude/claude_desktop_config.json", NULL, NULL,
     "mcpServers/daytona-mcp/env"},
    {"claude-code", HOME, "CLAUDE_CONFIG_DIR", ".claude.json", ".claude.json", NULL,
     "mcpServers/daytona-mcp/env"},
    {"cursor", HOME, NULL, ".cursor/mcp.json", NULL, NULL, "mcpServers/daytona-mcp/env"},
    {"windsurf", HOME, NULL, ".codeium/windsurf/mcp_config.json", NULL, NULL,
     "mcpServers/daytona-mcp/env"},
    {"codex", HOME, "CODEX_HOME", ".codex/config.toml", "config.toml", NULL, NULL},
    {"vscode", XDG, NULL, "Code/User/mcp.json", NULL, NULL, "servers/daytona-mcp/env"},
    {"gemini", HOME, NULL, ".gemini/settings.json", NULL, NULL, "mcpServers/daytona-mcp/env"},
    {"opencode", OWN, NULL, "opencode/opencode.json", NULL, "opencode/opencode.jsonc",
     "mcp/daytona-mcp/environment"},
};

#define NAGENTS (sizeof(agents) / sizeof(agents[0]))

const char *dt_agents_names(void)
{
    return "claude, claude-code, cursor, windsurf, codex, vscode, gemini, opencode";
}

static const struct agent *find_agent(const char *name, struct dt_err *err)
{
    for (size_t i = 0; i < NAGENTS; i++) {
        if (strcmp(agents[i].name, name) == 0)
            return &agents[i];
    }
    (void)dt_err_set(err, DT_E_INVALID, "agent '%.60s' is not known; name one of: %s", name,
                     dt_agents_names());
    return NULL;
}

static const char *template_of(const struct agent *a)
{
    for (size_t i = 0; i < sizeof(agent_templates) / sizeof(agent_templates[0]); i++) {
        if (strcmp(agent_templates[i].agent, a->name) == 0)
            return agent_templates[i].text;
    }
    abort();
}

static const char *home_folder(struct dt_err *err)
{
    const char *home = getenv("HOME");
    if (home != NULL && home[0] == '/')
        return home;
    (void)dt_err_set(err, DT_E_INVALID, "HOME is not set to an absolute path");
    return NULL;
}

/* DAYTONA_OS=darwin gives macOS paths anywhere; for tests and for preparing a home folder. */
static bool is_macos(void)
{
    const char *os = getenv("DAYTONA_OS");
#ifdef __APPLE__
    return os == NULL || strcmp(os, "linux") != 0;
#else
    return os != NULL && strcmp(os, "darwin") == 0;
#endif
}

static int base_folder(const struct agent *a, char *out, size_t size, struct dt_err *err)
{
    const char *home = home_folder(err);
    const char *xdg = getenv("XDG_CONFIG_HOME");
    if (home == NULL)
        return -1;
    if (a->base == HOME)
        (void)snprintf(out, size, "%s", home);
    else if (a->base == XDG && is_macos())
        (void)snprintf(out, size, "%s/Library/Application Support", home);
    else if (xdg != NULL && xdg[0] == '/')
        (void)snprintf(out, size, "%s", xdg);
    else
        (void)snprintf(out, size, "%s/.config", home);
    return 0;
}

/* The file to edit, with symbolic links followed so that a link stays one. */
static int find_file(const struct agent *a, char *out, size_t size, struct dt_err *err)
{
    char base[PATH_SIZE / 2], real[PATH_MAX], other[PATH_SIZE];
    const char *own = a->variable != NULL ? getenv(a->variable) : NULL;
    bool moved = own != NULL && own[0] == '/';
    if (base_folder(a, base, sizeof(base), err) < 0)
        return -1;
    int n = snprintf(out, size, "%s/%s", moved ? own : base, moved ? a->path_own : a->path);
    if (n < 0 || (size_t)n >= size)
        return dt_err_set(err, DT_E_INVALID, "the path of the configuration file is too long");
    if (a->other != NULL && access(out, F_OK) < 0) {
        (void)snprintf(other, sizeof(other), "%s/%s", base, a->other);
        if (access(other, F_OK) == 0)
            (void)snprintf(out, size, "%s", other);
    }
    if (realpath(out, real) != NULL)
        (void)snprintf(out, size, "%s", real);
    return 0;
}

static int own_path(char *out, size_t size, struct dt_err *err)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n <= 0 || (size_t)n >= size - 1)
        return dt_err_errno(err, "find the path of this program");
    out[n] = '\0';
    return 0;
}

static const char *replacement(const char *text, const char *program, const char *home)
{
    if (strcmp(text, "@DAYTONA@") == 0)
        return program;
    if (strcmp(text, "@HOME@") == 0)
        return home;
    return strcmp(text, "@PATH@") == 0 ? SAFE_PATH : NULL;
}

/* Fills in the placeholders, everywhere in the tree. */
static void fill(json_t *tree, const char *program, const char *home)
{
    const char *key, *with;
    json_t *sub;
    size_t i;
    json_object_foreach(tree, key, sub)
    {
        with = json_is_string(sub) ? replacement(json_string_value(sub), program, home) : NULL;
        if (with != NULL)
            (void)json_object_set_new(tree, key, json_string(with));
        else
            fill(sub, program, home);
    }
    json_array_foreach(tree, i, sub)
    {
        with = json_is_string(sub) ? replacement(json_string_value(sub), program, home) : NULL;
        if (with != NULL)
            (void)json_array_set_new(tree, i, json_string(with));
        else
            fill(sub, program, home);
    }
}

/* Agents start servers with a bare environment, so what leads to the server goes along. */
static bool is_ours(const char *assignment)
{
    return strncmp(assignment, "DAYTONA_", 8) == 0 && strncmp(assignment, "DAYTONA_OS=", 11) != 0;
}

static void add_environment(const struct agent *a, json_t *tree)
{
    struct dt_str rest = dt_str_z(a->env_path);
    struct dt_str part;
    while (dt_str_cut(&rest, '/', &part)) {
        char key[64];
        (void)snprintf(key, sizeof(key), "%.*s", (int)part.n, part.p);
        tree = json_object_get(tree, key);
    }
    for (char **e = environ; *e != NULL; e++) {
        const char *eq = strchr(*e, '=');
        char key[128];
        if (!is_ours(*e) || eq == NULL || eq[1] == '\0' || (size_t)(eq - *e) >= sizeof(key))
            continue;
        (void)snprintf(key, sizeof(key), "%.*s", (int)(eq - *e), *e);
        (void)json_object_set_new(tree, key, json_string(eq + 1));
    }
}

static json_t *json_entry(const struct agent *a, const char *program, const char *home,
                          struct dt_err *err)
{
    json_t *tree = dt_json_parse(dt_str_z(template_of(a)), 16, err);
    if (tree == NULL)
        return NULL;
    fill(tree, program, home);
    add_environment(a, tree);
    return tree;
}

static int add_quoted(struct dt_buf *out, const char *text, struct dt_err *err)
{
    DT_AUTO_JSON json_t *j = json_string(text);
    if (j == NULL)
        return dt_err_set(err, DT_E_INVALID, "'%.100s' is not UTF-8 text", text);
    return dt_json_write(j, out, err); /* a JSON string is a TOML basic string */
}

static int toml_entry(const struct agent *a, const char *program, const char *home,
                      struct dt_buf *out, struct dt_err *err)
{
    const char *p = template_of(a);
    while (*p != '\0') {
        const char *quote = strstr(p, "\"@");
        const char *end = quote != NULL ? strchr(quote + 1, '"') : NULL;
        size_t n = end != NULL ? (size_t)(quote - p) : strlen(p);
        if (dt_buf_add(out, p, n, err) < 0)
            return -1;
        if (end != NULL) {
            char word[32];
            (void)snprintf(word, sizeof(word), "%.*s", (int)(end - quote - 1), quote + 1);
            const char *with = replacement(word, program, home);
            if (add_quoted(out, with != NULL ? with : word, err) < 0)
                return -1;
            n = (size_t)(end + 1 - p);
        }
        p += n;
    }
    for (char **e = environ; *e != NULL; e++) {
        const char *eq = strchr(*e, '=');
        if (!is_ours(*e) || eq == NULL || eq[1] == '\0' || (size_t)(eq - *e) > 127)
            continue;
        if (dt_buf_add(out, *e, (size_t)(eq - *e), err) < 0 || dt_buf_addz(out, " = ", err) < 0 ||
            add_quoted(out, eq + 1, err) < 0 || dt_buf_addz(out, "\n", err) < 0)
            return -1;
    }
    return 0;
}

/* The text of the file after the edit. */
static int edit(const struct agent *a, struct dt_str text, struct dt_buf *out, bool *changed,
                struct dt_err *err)
{
    char program[PATH_SIZE];
    const char *home = home_folder(err);
    if (home == NULL || own_path(program, sizeof(program), err) < 0)
        return -1;
    if (a->env_path != NULL) {
        DT_AUTO_JSON json_t *entry = json_entry(a, program, home, err);
        return entry != NULL ? dt_jsonc_merge(text, entry, out, changed, err) : -1;
    }
    DT_AUTO_BUF struct dt_buf entry;
    dt_buf_init(&entry, FILE_MAX);
    if (toml_entry(a, program, home, &entry, err) < 0)
        return -1;
    return dt_toml_merge(text, dt_buf_str(&entry), out, changed, err);
}

static int make_folders(const char *path, struct dt_err *err)
{
    char folder[PATH_SIZE];
    (void)snprintf(folder, sizeof(folder), "%s", path);
    for (char *p = folder + 1; *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
            return dt_err_errno(err, "make the folder %s", folder);
        *p = '/';
    }
    return 0;
}

/* Keeps what the file was, under a name that nothing has yet. */
static int back_up(const char *path, struct dt_str text, mode_t mode, struct dt_err *err)
{
    char name[PATH_SIZE + 64], stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    (void)strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", gmtime_r(&now, &tm));
    for (unsigned i = 0; i < 1000; i++) {
        int n = i == 0 ? snprintf(name, sizeof(name), "%s.bak-%s", path, stamp)
                       : snprintf(name, sizeof(name), "%s.bak-%s-%u", path, stamp, i);
        if (n < 0 || (size_t)n >= sizeof(name))
            break;
        DT_AUTO_FD int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 0777);
        if (fd < 0 && errno == EEXIST)
            continue;
        if (fd < 0)
            return dt_err_errno(err, "write the backup %s", name);
        return dt_fd_write_all(fd, text.p, text.n, err);
    }
    return dt_err_set(err, DT_E_SYSTEM, "no free name for a backup of %s", path);
}

static int write_file(const char *path, bool existed, const struct stat *old, struct dt_str before,
                      struct dt_str after, struct dt_err *err)
{
    mode_t mode = existed ? old->st_mode & 07777 : 0600;
    if (existed && back_up(path, before, mode, err) < 0)
        return -1;
    if (!existed && make_folders(path, err) < 0)
        return -1;
    if (dt_fd_replace(AT_FDCWD, path, after.p, after.n, mode, err) < 0)
        return -1;
    /* sudo must not take a user's file away from the user. */
    if (existed && geteuid() == 0 && chown(path, old->st_uid, old->st_gid) < 0)
        return dt_err_errno(err, "give %s back to its owner", path);
    return 0;
}

int dt_agents_init(const char *agent, char *path, size_t path_size, bool *changed,
                   struct dt_err *err)
{
    struct stat st = {0};
    const struct agent *a = find_agent(agent, err);
    if (a == NULL || find_file(a, path, path_size, err) < 0)
        return -1;
    DT_AUTO_BUF struct dt_buf before, after;
    dt_buf_init(&before, FILE_MAX);
    dt_buf_init(&after, FILE_MAX);
    bool existed = stat(path, &st) == 0;
    if (!existed && errno != ENOENT)
        return dt_err_errno(err, "look at %s", path);
    if (existed && !S_ISREG(st.st_mode))
        return dt_err_set(err, DT_E_INVALID, "%s is not a regular file", path);
    if (existed && dt_fd_read_file(AT_FDCWD, path, &before, err) < 0)
        return dt_err_wrap(err, "%s", path);
    if (edit(a, dt_buf_str(&before), &after, changed, err) < 0)
        return dt_err_wrap(err, "%s was not changed", path);
    if (!*changed)
        return 0;
    return write_file(path, existed, &st, dt_buf_str(&before), dt_buf_str(&after), err);
}

int dt_agents_config(const char *agent, char **ret, struct dt_err *err)
{
    const struct agent *a = find_agent(agent != NULL ? agent : "cursor", err);
    bool changed;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, FILE_MAX);
    if (a == NULL || edit(a, dt_str("", 0), &out, &changed, err) < 0)
        return -1;
    *ret = dt_buf_take(&out);
    return *ret != NULL ? 0 : dt_err_set(err, DT_E_NOMEM, "configuration");
}
