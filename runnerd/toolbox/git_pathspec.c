#include "toolbox/git_pathspec.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"

enum { SPEC_MAX = 64 * 1024 };

#define REPLACEMENT "\xef\xbf\xbd"

static int add_repaired(struct dt_buf *out, const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        int r = 0;
        if (strncmp(p, REPLACEMENT, 3) == 0) {
            r = dt_buf_addz(out, "[\x80-\xff]", NULL);
            p += 2;
        } else if (strchr("*?[\\", *p) != NULL) {
            r = dt_buf_addf(out, NULL, "\\%c", *p);
        } else {
            r = dt_buf_add(out, p, 1, NULL);
        }
        if (r < 0)
            return -1;
    }
    return 0;
}

char *dt_git_pathspec_make(const char *name, bool repaired)
{
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, SPEC_MAX);
    int r = dt_buf_addz(&out, repaired ? ":(glob)" : ":(literal)", NULL);
    if (r == 0)
        r = repaired ? add_repaired(&out, name) : dt_buf_addz(&out, name, NULL);
    return r < 0 ? NULL : dt_buf_take(&out);
}

/* Most names hold no such character, and then nothing is looked up. */
static bool was_repaired(int dir, const char *name)
{
    struct stat st;
    return strstr(name, REPLACEMENT) != NULL &&
           (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0);
}

int dt_git_pathspec_add(struct dt_git_args *a, const char *dir, const json_t *files,
                        struct dt_err *err)
{
    size_t i;
    const json_t *file;
    DT_AUTO_FD int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    dt_git_args_add(a, "--", NULL);
    json_array_foreach(files, i, file)
    {
        const char *text = json_string_value(file);
        if (strlen(text) != json_string_length(file))
            return dt_err_set(err, DT_E_INVALID_FILE_PATH, "files[%zu] holds a NUL character", i);
        dt_git_args_own(a, dt_git_pathspec_make(text, was_repaired(fd, text)));
    }
    return 0;
}
