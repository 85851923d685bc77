/* The settings as the program uses them: words before options, derived URLs. */
#ifndef DT_SETTINGS_H
#define DT_SETTINGS_H

#include "runnerd/runnerd.h"

enum { DT_WORDS_MAX = 8 };

struct dt_settings {
    struct dt_config_runnerd config;
    int nwords;
    char *words[DT_WORDS_MAX]; /* `snapshot`, `import` ...; borrowed from `args` */
    char data_dir[4096];       /* absolute; set by dt_settings_data_dir() */
    char **args;               /* copies of all arguments */
    char **options;            /* of these, the options; the config's texts point into them */
};

/* Options may stand before and after the words. Values of secret ones are overwritten in argv,
 * which everybody on the host can read. */
int dt_settings_load(struct dt_settings *s, int argc, char **argv,
                     struct dt_err *err) DT_MUST_CHECK;
/* Finds (or makes) the data directory; fills in data_dir. */
int dt_settings_data_dir(struct dt_settings *s, struct dt_err *err) DT_MUST_CHECK;
void dt_settings_done(struct dt_settings *s);
/* Fills in the URLs once both ports are known. */
int dt_settings_urls(struct dt_runnerd *rd, struct dt_err *err) DT_MUST_CHECK;

#endif
