#include "toolbox/program.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/str.h"

static const char *path_of(char *const *env)
{
    const char *path = "/usr/local/bin:/usr/bin:/bin";
    for (; *env != NULL; env++) {
        if (strncmp(*env, "PATH=", 5) == 0)
            path = *env + 5;
    }
    return path;
}

static bool can_start(const char *file)
{
    struct stat st;
    return access(file, X_OK) == 0 && stat(file, &st) == 0 && S_ISREG(st.st_mode);
}

static char *copy(const char *path, struct dt_err *err)
{
    char *own = strdup(path);
    if (own == NULL)
        (void)dt_err_set(err, DT_E_NOMEM, "program");
    return own;
}

char *dt_program_find(char *const *env, const char *name, struct dt_err *err)
{
    struct dt_str rest = dt_str_z(path_of(env)), dir;
    if (strchr(name, '/') != NULL)
        return copy(name, err);
    while (name[0] != '\0' && dt_str_cut(&rest, ':', &dir)) {
        char file[PATH_MAX];
        int n = snprintf(file, sizeof(file), "%.*s/%s", (int)dir.n, dir.p, name);
        if (dir.n > 0 && dir.p[0] == '/' && n < (int)sizeof(file) && can_start(file))
            return copy(file, err);
    }
    (void)dt_err_set(err, DT_E_FILE_NOT_FOUND, "there is no %.200s in the sandbox's PATH", name);
    return NULL;
}
