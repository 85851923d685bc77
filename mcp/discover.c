#include "mcp/discover.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fd.h"
#include "json/json.h"
#include "mcp/launch.h"

enum { START_MS = 30000, CHECK_MS = 10, CONFIG_MAX = 1024 * 1024 };

static const char *const sockets[] = {"/run/daytona-runnerd/runnerd.sock",
                                      "/var/lib/daytona/run/runnerd.sock"};

void dt_server_done(struct dt_server *s)
{
    free(s->socket);
    free(s->host);
    free(s->base);
    free(s->key);
    free(s->organization);
    *s = (struct dt_server){0};
}

struct dt_addr dt_server_addr(const struct dt_server *s)
{
    return (struct dt_addr){.path = s->socket, .host = s->host, .port = s->port, .tls = s->tls};
}

static int no_memory(struct dt_err *err)
{
    return dt_err_set(err, DT_E_NOMEM, "server address");
}

static int bad_url(const char *url, struct dt_err *err)
{
    return dt_err_set(err, DT_E_INVALID,
                      "the API URL '%.200s' must look like https://host[:port]/api", url);
}

/* Splits `host[:port]`; *port keeps its value without one. False when malformed. */
static bool split_authority(struct dt_str *host, unsigned long long *port)
{
    bool literal = host->n > 0 && host->p[0] == '[';
    const char *bracket = literal ? memchr(host->p, ']', host->n) : NULL;
    size_t from = bracket != NULL ? (size_t)(bracket - host->p) + 1 : 0;
    const char *colon = memchr(host->p + from, ':', host->n - from);
    if (colon != NULL) {
        struct dt_str digits = dt_str(colon + 1, (size_t)(host->p + host->n - colon - 1));
        if (dt_str_u64(digits, 65535, port) < 0 || *port == 0)
            return false;
        host->n = (size_t)(colon - host->p);
    }
    if (bracket != NULL)
        *host = dt_str(host->p + 1, (size_t)(bracket - host->p) - 1);
    return host->n > 0 && memchr(host->p, '@', host->n) == NULL;
}

int dt_server_parse_url(const char *url, struct dt_server *ret, struct dt_err *err)
{
    bool tls = strncmp(url, "https://", 8) == 0;
    if ((!tls && strncmp(url, "http://", 7) != 0) || strpbrk(url, "?# \r\n\t") != NULL)
        return bad_url(url, err);
    const char *rest = url + (tls ? 8 : 7);
    struct dt_str host = dt_str(rest, strcspn(rest, "/"));
    struct dt_str base = dt_str_z(rest + host.n);
    unsigned long long port = tls ? 443 : 80;
    if (!split_authority(&host, &port))
        return bad_url(url, err);
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    ret->host = strndup(host.p, host.n);
    ret->base = strndup(base.n > 0 ? base.p : "", base.n);
    ret->port = (uint16_t)port;
    ret->tls = tls;
    return ret->host != NULL && ret->base != NULL ? 0 : no_memory(err);
}

/* 1 found, 0 not configured this way, -1 wrong. */
static int from_environment(struct dt_server *ret, struct dt_err *err)
{
    const char *url = getenv("DAYTONA_API_URL");
    const char *key = getenv("DAYTONA_API_KEY");
    if (url == NULL || url[0] == '\0')
        return 0;
    if (key == NULL || key[0] == '\0')
        return dt_err_set(err, DT_E_UNAUTHORIZED,
                          "DAYTONA_API_URL is set but DAYTONA_API_KEY is not; set both or neither");
    if (dt_server_parse_url(url, ret, err) < 0)
        return dt_err_wrap(err, "DAYTONA_API_URL");
    ret->key = strdup(key);
    return ret->key != NULL ? 1 : no_memory(err);
}

static int config_path(char *out, size_t n)
{
    const char *dir = getenv("DAYTONA_CONFIG_DIR");
    const char *xdg = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int len = -1;
    if (dir != NULL && dir[0] != '\0')
        len = snprintf(out, n, "%s/config.json", dir);
#ifdef __APPLE__
    else if (home != NULL && home[0] != '\0')
        len = snprintf(out, n, "%s/Library/Application Support/daytona/config.json", home);
#endif
    else if (xdg != NULL && xdg[0] == '/')
        len = snprintf(out, n, "%s/daytona/config.json", xdg);
    else if (home != NULL && home[0] != '\0')
        len = snprintf(out, n, "%s/.config/daytona/config.json", home);
    return len > 0 && (size_t)len < n ? 0 : -1;
}

static int from_profile(const json_t *profile, struct dt_server *ret, struct dt_err *err)
{
    const json_t *api = json_object_get(profile, "api");
    const char *url = dt_json_text(api, "url", NULL);
    const char *key = dt_json_text(api, "key", NULL);
    const char *token = dt_json_text(json_object_get(api, "token"), "accessToken", NULL);
    const char *organization = dt_json_text(profile, "activeOrganizationId", NULL);
    if (url == NULL || (key == NULL && token == NULL))
        return 0;
    if (dt_server_parse_url(url, ret, err) < 0)
        return -1;
    ret->key = strdup(key != NULL ? key : token);
    if (key == NULL && organization != NULL)
        ret->organization = strdup(organization);
    return ret->key != NULL ? 1 : no_memory(err);
}

static int from_config(struct dt_server *ret, struct dt_err *err)
{
    char path[4096];
    struct stat st;
    if (config_path(path, sizeof(path)) < 0 || stat(path, &st) < 0)
        return 0;
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, CONFIG_MAX);
    if (dt_fd_read_file(AT_FDCWD, path, &text, err) < 0)
        return dt_err_wrap(err, "configuration file %s", path);
    if (text.n == 0)
        return 0;
    DT_AUTO_JSON json_t *all = dt_json_parse(dt_buf_str(&text), 32, err);
    if (all == NULL)
        return dt_err_wrap(err, "configuration file %s", path);
    const char *active = dt_json_text(all, "activeProfile", "");
    size_t i;
    const json_t *profile;
    json_array_foreach(json_object_get(all, "profiles"), i, profile)
    {
        if (strcmp(dt_json_text(profile, "id", ""), active) != 0)
            continue;
        int found = from_profile(profile, ret, err);
        return found < 0 ? dt_err_wrap(err, "configuration file %s", path) : found;
    }
    return 0;
}

/* 0 when something listens there, else an errno. */
static int probe_socket(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof(addr.sun_path))
        return ENAMETOOLONG;
    memcpy(addr.sun_path, path, n + 1);
    DT_AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 || errno == EAGAIN)
        return 0;
    return errno;
}

static int take_socket(const char *path, struct dt_server *ret, struct dt_err *err)
{
    ret->socket = strdup(path);
    ret->base = strdup("/api");
    return ret->socket != NULL && ret->base != NULL ? 1 : no_memory(err);
}

static int try_socket(const char *path, struct dt_server *ret, struct dt_err *err)
{
    int why = probe_socket(path);
    if (why == 0)
        return take_socket(path, ret, err);
    if (why == EACCES)
        return dt_err_set(
            err, DT_E_FORBIDDEN,
            "you may not use %.200s; run `sudo usermod -aG daytona $USER` and log in again", path);
    return 0;
}

static int from_socket(struct dt_server *ret, struct dt_err *err)
{
    const char *given = getenv("DAYTONA_SOCKET");
    if (given != NULL && given[0] != '\0') {
        int why = probe_socket(given);
        if (why == 0)
            return take_socket(given, ret, err);
        return dt_err_set(err, DT_E_UNREACHABLE,
                          "no daytona-runnerd answers on DAYTONA_SOCKET '%.100s': %s; start it, or "
                          "unset the variable",
                          given, strerror(why));
    }
    char own[4096];
    const char *dir = getenv("DAYTONA_DATA_DIR");
    if (dir != NULL && dir[0] != '\0') {
        (void)snprintf(own, sizeof(own), "%s/run/runnerd.sock", dir);
        return try_socket(own, ret, err);
    }
    int found = 0;
    for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]) && found == 0; i++)
        found = try_socket(sockets[i], ret, err);
    return found;
}

int dt_discover_now(struct dt_server *ret, bool *may_start, struct dt_err *err)
{
    struct dt_server s = {0};
    int found = from_environment(&s, err);
    if (found == 0)
        found = from_config(&s, err);
    if (found == 0)
        found = from_socket(&s, err);
    *may_start = found == 0 && geteuid() == 0;
    if (found == 1) {
        *ret = s;
        return 0;
    }
    dt_server_done(&s);
    if (found < 0)
        return -1;
    return dt_err_set(err, DT_E_UNREACHABLE,
                      "no Daytona server runs on this machine; run `sudo ./dev install` in the "
                      "Daytona source folder, or set DAYTONA_API_URL and DAYTONA_API_KEY");
}

/* Waits for the socket of a server that was started. */
struct search {
    uv_timer_t timer;
    dt_discover_done *done;
    void *ctx;
    uint64_t deadline;
    struct dt_launch *child;
    struct dt_server server;
    struct dt_err err;
    bool found;
};

static void on_closed(uv_handle_t *h)
{
    struct search *s = h->data;
    s->done(s->ctx, &s->server, s->found ? NULL : &s->err);
    dt_server_done(&s->server);
    free(s);
}

static void finish(struct search *s)
{
    s->child = dt_launch_release(s->child);
    uv_close((uv_handle_t *)&s->timer, on_closed);
}

static bool is_late(struct search *s)
{
    if (dt_clock_ms() < s->deadline)
        return false;
    (void)dt_err_set(&s->err, DT_E_TIMEOUT, "daytona-runnerd did not open its socket in %d s; %s",
                     START_MS / 1000, dt_launch_log());
    return true;
}

static void on_timer(uv_timer_t *t)
{
    struct search *s = t->data;
    bool may_start;
    s->found = dt_discover_now(&s->server, &may_start, &s->err) == 0;
    bool over = s->found || !may_start;
    if (!over && s->child == NULL)
        over = dt_launch_runnerd(t->loop, &s->child, &s->err) < 0;
    else if (!over)
        over = dt_launch_failed(s->child, &s->err) || is_late(s);
    if (over)
        finish(s);
}

void dt_discover_start(uv_loop_t *loop, dt_discover_done *done, void *ctx)
{
    struct search *s = calloc(1, sizeof(*s));
    if (s == NULL)
        abort();
    s->done = done;
    s->ctx = ctx;
    s->deadline = dt_clock_ms() + START_MS;
    (void)uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    (void)uv_timer_start(&s->timer, on_timer, 0, CHECK_MS);
}
