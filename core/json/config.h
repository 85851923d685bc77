/*
 * The settings of a program: flags, then environment, then a YAML file, then defaults. The table is
 * generated from schemas/config/<program>.json.
 */
#ifndef DT_CONFIG_H
#define DT_CONFIG_H

#include "json/schema.h"

struct dt_config_setting {
    const char *env;  /* the name in the environment and in the YAML file */
    const char *flag; /* without the dashes; also accepted in the YAML file */
    enum dt_schema_type type;
    size_t offset;
    const char *default_text;
    int64_t minimum, maximum;
    bool secret; /* --help does not show its default */
    const char *doc;
};

/* Ends every generated struct. */
struct dt_config_common {
    bool help;    /* --help was given */
    bool version; /* --version was given */
    json_t *owned;
};

struct dt_config_spec {
    const char *program;
    const char *usage;
    const struct dt_config_setting *settings;
    size_t nsettings;
    size_t common_offset;
    size_t size;
};

/* Texts are borrowed from argv, the environment, or dt_config_common.owned. An empty environment
 * variable counts as unset. INVALID names the setting, where it came from and what it must be. */
int dt_config_load(const struct dt_config_spec *spec, int argc, char **argv, void *out, int *rest,
                   struct dt_err *err) DT_MUST_CHECK;
void dt_config_done(struct dt_config_common *c);
char *dt_config_help(const struct dt_config_spec *spec);

#endif
