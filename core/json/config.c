#include "json/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <yaml.h>

#include "base/fd.h"

enum { YAML_FILE_MAX = 1024 * 1024 };

static int set_value(const struct dt_config_setting *s, const char *text, const char *origin,
                     char *out, struct dt_err *err)
{
    void *at = out + s->offset;
    if (s->type == DT_SCHEMA_STRING) {
        *(const char **)at = text;
        return 0;
    }
    if (s->type == DT_SCHEMA_BOOLEAN) {
        bool yes = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
        if (!yes && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
            return dt_err_set(err, DT_E_INVALID, "%s (%s): '%s' is neither true nor false", s->env,
                              origin, text);
        *(bool *)at = yes;
        return 0;
    }
    struct dt_str digits = dt_str_z(text);
    bool negative = dt_str_starts(digits, DT_STR("-"));
    unsigned long long v;
    if (dt_str_u64(negative ? dt_str(text + 1, digits.n - 1) : digits, 1ull << 53, &v) < 0)
        return dt_err_set(err, DT_E_INVALID, "%s (%s): '%s' is not a whole number", s->env, origin,
                          text);
    int64_t value = negative ? -(int64_t)v : (int64_t)v;
    if (value < s->minimum || value > s->maximum)
        return dt_err_set(err, DT_E_INVALID, "%s (%s): %s is not between %lld and %lld", s->env,
                          origin, text, (long long)s->minimum, (long long)s->maximum);
    *(int64_t *)at = value;
    return 0;
}

/* Keys and scalars of one flat mapping; anything else in the file is refused. */
static int read_yaml(const char *path, json_t *into, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, YAML_FILE_MAX);
    if (dt_fd_read_file(AT_FDCWD, path, &text, err) < 0)
        return -1;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return dt_err_set(err, DT_E_NOMEM, "YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.p != NULL ? text.p : ""),
                                 text.n);
    char key[128] = "";
    int depth = 0;
    int result = 0;
    bool over = false;
    while (!over && result == 0) {
        yaml_event_t e;
        if (!yaml_parser_parse(&parser, &e)) {
            result = dt_err_set(err, DT_E_INVALID, "%s:%zu: %s", path, parser.problem_mark.line + 1,
                                parser.problem);
            break;
        }
        over = e.type == YAML_STREAM_END_EVENT;
        depth += e.type == YAML_MAPPING_START_EVENT;
        if (e.type == YAML_SEQUENCE_START_EVENT || e.type == YAML_ALIAS_EVENT || depth > 1 ||
            (e.type == YAML_SCALAR_EVENT && depth == 0)) {
            result = dt_err_set(err, DT_E_INVALID,
                                "%s:%zu: only lines of the form NAME: value are "
                                "understood",
                                path, e.start_mark.line + 1);
        } else if (e.type == YAML_SCALAR_EVENT && key[0] == '\0') {
            (void)snprintf(key, sizeof(key), "%s", (const char *)e.data.scalar.value);
        } else if (e.type == YAML_SCALAR_EVENT) {
            (void)json_object_set_new(into, key, json_string((const char *)e.data.scalar.value));
            key[0] = '\0';
        }
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    return result;
}

static const struct dt_config_setting *by_name(const struct dt_config_spec *spec, const char *name,
                                               size_t n)
{
    for (size_t i = 0; i < spec->nsettings; i++) {
        const struct dt_config_setting *s = &spec->settings[i];
        if ((strlen(s->flag) == n && strncmp(s->flag, name, n) == 0) ||
            (strlen(s->env) == n && strncmp(s->env, name, n) == 0))
            return s;
    }
    return NULL;
}

static int apply_file(const struct dt_config_spec *spec, const char *path, char *out,
                      struct dt_config_common *common, struct dt_err *err)
{
    common->owned = json_object();
    if (common->owned == NULL)
        return dt_err_set(err, DT_E_NOMEM, "%s", path);
    if (read_yaml(path, common->owned, err) < 0)
        return -1;
    const char *key;
    json_t *value;
    json_object_foreach(common->owned, key, value)
    {
        const struct dt_config_setting *s = by_name(spec, key, strlen(key));
        if (s == NULL)
            return dt_err_set(err, DT_E_INVALID,
                              "%s: there is no setting '%s'; %s --help lists them", path, key,
                              spec->program);
        if (set_value(s, json_string_value(value), path, out, err) < 0)
            return -1;
    }
    return 0;
}

/* One argument that begins with --; *i moves over a value that stands apart. */
static int apply_flag(const struct dt_config_spec *spec, int argc, char **argv, int *i, char *out,
                      struct dt_config_common *common, const char **file, struct dt_err *err)
{
    const char *name = argv[*i] + 2;
    const char *eq = strchr(name, '=');
    size_t n = eq != NULL ? (size_t)(eq - name) : strlen(name);
    if (eq == NULL && (strcmp(name, "help") == 0 || strcmp(name, "version") == 0)) {
        *(name[0] == 'h' ? &common->help : &common->version) = true;
        return 0;
    }
    bool is_file = n == 6 && strncmp(name, "config", 6) == 0;
    const struct dt_config_setting *s = is_file ? NULL : by_name(spec, name, n);
    if (s == NULL && !is_file)
        return dt_err_set(err, DT_E_INVALID, "unknown option --%.*s; %s --help lists them", (int)n,
                          name, spec->program);
    const char *value = eq != NULL ? eq + 1 : NULL;
    if (value == NULL && s != NULL && s->type == DT_SCHEMA_BOOLEAN)
        value = "true";
    if (value == NULL && *i + 1 < argc)
        value = argv[++*i];
    if (value == NULL)
        return dt_err_set(err, DT_E_INVALID, "--%.*s needs a value", (int)n, name);
    if (is_file) {
        *file = value;
        return 0;
    }
    return set_value(s, value, argv[*i], out, err);
}

static int apply_flags(const struct dt_config_spec *spec, int argc, char **argv, int *rest,
                       char *out, struct dt_config_common *common, const char **file,
                       struct dt_err *err)
{
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0'; i++) {
        if (apply_flag(spec, argc, argv, &i, out, common, file, err) < 0)
            return -1;
    }
    *rest = i < argc && strcmp(argv[i], "--") == 0 ? i + 1 : i;
    return 0;
}

static int apply_env(const struct dt_config_spec *spec, char *out, struct dt_err *err)
{
    for (size_t i = 0; i < spec->nsettings; i++) {
        const char *value = getenv(spec->settings[i].env);
        if (value != NULL && value[0] != '\0' &&
            set_value(&spec->settings[i], value, "environment", out, err) < 0)
            return -1;
    }
    return 0;
}

int dt_config_load(const struct dt_config_spec *spec, int argc, char **argv, void *out, int *rest,
                   struct dt_err *err)
{
    memset(out, 0, spec->size);
    struct dt_config_common *common = (void *)((char *)out + spec->common_offset);
    for (size_t i = 0; i < spec->nsettings; i++) {
        const struct dt_config_setting *s = &spec->settings[i];
        if (s->default_text != NULL && set_value(s, s->default_text, "default", out, err) < 0)
            return -1;
    }
    /* The flags are read twice: first for --config, then again over what the file and the
     * environment said. */
    const char *file = getenv("DAYTONA_CONFIG");
    bool failed =
        apply_flags(spec, argc, argv, rest, out, common, &file, err) < 0 ||
        (file != NULL && file[0] != '\0' && apply_file(spec, file, out, common, err) < 0) ||
        apply_env(spec, out, err) < 0 ||
        apply_flags(spec, argc, argv, rest, out, common, &file, err) < 0;
    if (failed)
        dt_config_done(common);
    return failed ? -1 : 0;
}

void dt_config_done(struct dt_config_common *c)
{
    json_decref(c->owned);
    c->owned = NULL;
}

char *dt_config_help(const struct dt_config_spec *spec)
{
    struct dt_buf b;
    dt_buf_init(&b, 256U << 10);
    bool ok =
        dt_buf_addf(&b, NULL,
                    "%s\n\nSettings: a flag, else an environment variable, else a line in "
                    "the YAML file of --config FILE\n(or DAYTONA_CONFIG), else the default.\n\n",
                    spec->usage) == 0;
    for (size_t i = 0; ok && i < spec->nsettings; i++) {
        const struct dt_config_setting *s = &spec->settings[i];
        ok = dt_buf_addf(&b, NULL, "  --%-28s %s\n      %s", s->flag, s->env, s->doc) == 0;
        if (ok && s->default_text != NULL && s->default_text[0] != '\0' && !s->secret)
            ok = dt_buf_addf(&b, NULL, " [%s]", s->default_text) == 0;
        ok = ok && dt_buf_addz(&b, "\n", NULL) == 0;
    }
    return dt_buf_take(&b);
}
