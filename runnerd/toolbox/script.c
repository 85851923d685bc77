#include "toolbox/script.h"

#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fd.h"

int dt_script_open(const struct dt_str *const *parts, size_t n, struct dt_err *err)
{
    DT_AUTO_FD int fd = memfd_create("code", MFD_CLOEXEC);
    if (fd < 0)
        return dt_err_errno(err, "memfd");
    for (size_t i = 0; i < n; i++) {
        if ((i > 0 && dt_fd_write_all(fd, "", 1, err) < 0) ||
            dt_fd_write_all(fd, parts[i]->p, parts[i]->n, err) < 0)
            return -1;
    }
    if (lseek(fd, 0, SEEK_SET) < 0)
        return dt_err_errno(err, "memfd");
    return dt_take_fd(&fd);
}

int dt_script_open_text(struct dt_str text, struct dt_err *err)
{
    const struct dt_str *const parts[] = {&text};
    return dt_script_open(parts, 1, err);
}

static const char *search_path(const struct dt_guest *g, const json_t *envs)
{
    const char *path = json_string_value(json_object_get(envs, "PATH"));
    for (char *const *e = g->env; path == NULL && *e != NULL; e++) {
        if (strncmp(*e, "PATH=", 5) == 0)
            path = *e + 5;
    }
    return path != NULL ? path : "/usr/local/bin:/usr/bin:/bin";
}

char *dt_script_program(const struct dt_guest *g, const json_t *envs, const char *name,
                        struct dt_err *err)
{
    struct dt_str rest = dt_str_z(search_path(g, envs)), dir;
    while (dt_str_cut(&rest, ':', &dir)) {
        char path[PATH_MAX];
        struct stat st;
        if (dir.n == 0 || dir.p[0] != '/' || dir.n > PATH_MAX - 100)
            continue;
        (void)snprintf(path, sizeof(path), "%.*s/%.80s", (int)dir.n, dir.p, name);
        if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || access(path, X_OK) < 0)
            continue;
        char *found = strdup(path);
        if (found == NULL)
            (void)dt_err_set(err, DT_E_NOMEM, "%s", name);
        return found;
    }
    (void)dt_err_set(err, DT_E_FILE_NOT_FOUND,
                     "the sandbox has no %s on its PATH; install it, or create the sandbox from a "
                     "snapshot that has it",
                     name);
    return NULL;
}
