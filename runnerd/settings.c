#include "runnerd/settings.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "model/preview.h"

/* Moves up to four words (`snapshot import NAME FILE`) out of the way of the options. */
static int split_words(struct dt_settings *s, int argc, char **argv, int first, int *n,
                       struct dt_err *err)
{
    int kept = first;
    memcpy(s->options, argv, (size_t)first * sizeof(*argv));
    int i = first;
    for (; i < argc && strncmp(argv[i], "--", 2) != 0; i++) {
        if (s->nwords == DT_WORDS_MAX)
            return dt_err_set(err, DT_E_INVALID, "too many arguments");
        s->words[s->nwords++] = argv[i];
    }
    for (; i < argc; i++)
        s->options[kept++] = argv[i];
    s->options[kept] = NULL;
    *n = kept;
    return 0;
}

static bool is_secret(struct dt_str flag)
{
    for (size_t i = 0; i < dt_config_runnerd_spec.nsettings; i++) {
        const struct dt_config_setting *c = &dt_config_runnerd_spec.settings[i];
        if (c->secret && (dt_str_eq(flag, dt_str_z(c->flag)) || dt_str_eq(flag, dt_str_z(c->env))))
            return true;
    }
    return false;
}

static void hide_secrets(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct dt_str rest = dt_str_z(argv[i]), flag;
        if (!dt_str_starts(rest, DT_STR("--")))
            continue;
        rest = dt_str(rest.p + 2, rest.n - 2);
        if (!dt_str_cut(&rest, '=', &flag) || !is_secret(flag))
            continue;
        char *value = strchr(argv[i], '=');
        if (value != NULL)
            value++;
        else if (i + 1 < argc)
            value = argv[++i];
        if (value != NULL)
            memset(value, '*', strlen(value));
    }
}

static int copy_arguments(struct dt_settings *s, int argc, char **argv, struct dt_err *err)
{
    s->args = calloc((size_t)argc + 1, sizeof(*argv));
    s->options = calloc((size_t)argc + 1, sizeof(*argv));
    for (int i = 0; s->args != NULL && i < argc; i++) {
        if ((s->args[i] = strdup(argv[i])) == NULL)
            return dt_err_set(err, DT_E_NOMEM, "settings");
    }
    return s->args == NULL || s->options == NULL ? dt_err_set(err, DT_E_NOMEM, "settings") : 0;
}

int dt_settings_data_dir(struct dt_settings *s, struct dt_err *err)
{
    const char *path = s->config.daytona_data_dir;
    char real[PATH_MAX];
    if (path[0] == '\0')
        return dt_err_set(err, DT_E_INVALID, "--data-dir must not be empty");
    /* So that realpath() has something to find; owners and modes come later. */
    if (mkdir(path, 0711) < 0 && errno != EEXIST)
        return dt_err_errno(err, "data directory %s", path);
    if (realpath(path, real) == NULL)
        return dt_err_errno(err, "data directory %s", path);
    if (snprintf(s->data_dir, sizeof(s->data_dir), "%s", real) >= 3900)
        return dt_err_set(err, DT_E_INVALID, "data directory: the path is too long");
    return 0;
}

int dt_settings_load(struct dt_settings *s, int argc, char **argv, struct dt_err *err)
{
    int rest, n = 0;
    memset(s, 0, sizeof(*s));
    if (copy_arguments(s, argc, argv, err) < 0)
        return -1;
    hide_secrets(argc, argv);
    if (dt_config_runnerd_load(argc, s->args, &s->config, &rest, err) < 0)
        return -1;
    dt_config_runnerd_done(&s->config);
    if (split_words(s, argc, s->args, rest, &n, err) < 0 ||
        dt_config_runnerd_load(n, s->options, &s->config, &rest, err) < 0)
        return -1;
    if (rest != n)
        return dt_err_set(err, DT_E_INVALID, "unexpected argument '%s'; --help says more",
                          s->options[rest]);
    return 0;
}

void dt_settings_done(struct dt_settings *s)
{
    dt_config_runnerd_done(&s->config);
    for (int i = 0; s->args != NULL && s->args[i] != NULL; i++)
        free(s->args[i]);
    free(s->args);
    free(s->options);
}

static bool is_set(const char *z)
{
    return z != NULL && z[0] != '\0';
}

static int text(char **at, struct dt_err *err, const char *fmt, ...) DT_PRINTF(3, 4);

static int text(char **at, struct dt_err *err, const char *fmt, ...)
{
    va_list ap;
    free(*at);
    va_start(ap, fmt);
    int n = vasprintf(at, fmt, ap);
    va_end(ap);
    if (n < 0) {
        *at = NULL;
        return dt_err_set(err, DT_E_NOMEM, "settings");
    }
    return 0;
}

/* Names below localhost open in browsers, but the C library does not resolve them: programs get the
 * plain name. */
static int toolbox_base(struct dt_runnerd *rd, struct dt_err *err)
{
    const struct dt_config_runnerd *c = rd->config;
    struct dt_str name = dt_host_name(dt_str_z(rd->proxy_domain));
    bool local = name.n >= 10 && memcmp(name.p + name.n - 10, ".localhost", 10) == 0;
    if (is_set(c->proxy_toolbox_base_url)) {
        size_t n = strlen(c->proxy_toolbox_base_url);
        while (n > 0 && c->proxy_toolbox_base_url[n - 1] == '/')
            n--;
        return text(&rd->toolbox_base, err, "%.*s/toolbox", (int)n, c->proxy_toolbox_base_url);
    }
    if (local)
        return text(&rd->toolbox_base, err, "%s://localhost%s/toolbox", c->proxy_protocol,
                    rd->proxy_domain + name.n);
    return text(&rd->toolbox_base, err, "%s://%s/toolbox", c->proxy_protocol, rd->proxy_domain);
}

int dt_settings_urls(struct dt_runnerd *rd, struct dt_err *err)
{
    const struct dt_config_runnerd *c = rd->config;
    int made = is_set(c->proxy_domain)
                   ? text(&rd->proxy_domain, err, "%s", c->proxy_domain)
                   : text(&rd->proxy_domain, err, "proxy.localhost:%u", rd->proxy_port);
    if (made < 0 || toolbox_base(rd, err) < 0)
        return -1;
    made = is_set(c->proxy_template_url)
               ? text(&rd->proxy_template, err, "%s", c->proxy_template_url)
               : text(&rd->proxy_template, err, "%s://{{PORT}}-{{sandboxId}}.%s", c->proxy_protocol,
                      rd->proxy_domain);
    if (made < 0)
        return -1;
    made = is_set(c->dashboard_base_api_url)
               ? text(&rd->api_url, err, "%s", c->dashboard_base_api_url)
               : text(&rd->api_url, err, "http://localhost:%u", rd->port);
    if (made < 0)
        return -1;
    return is_set(c->dashboard_url) ? text(&rd->dashboard_url, err, "%s", c->dashboard_url)
                                    : text(&rd->dashboard_url, err, "%s/dashboard", rd->api_url);
}
