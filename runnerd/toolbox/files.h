/* What the file operations share. */
#ifndef DT_TOOLBOX_FILES_H
#define DT_TOOLBOX_FILES_H

#include <sys/stat.h>

#include "toolbox/reply.h"
#include "toolbox/toolbox.h"

/* Octal text as `0755`; INVALID "invalid mode format" otherwise. */
int dt_files_mode(const char *text, mode_t most, mode_t *ret, struct dt_err *err) DT_MUST_CHECK;
/* mkdir -p of everything in front of the last `/`. */
int dt_files_make_parents(const char *path, mode_t mode, struct dt_err *err) DT_MUST_CHECK;
/* Opens a file for reading, links followed, and never waits for the other end of a pipe. *st is
 * set. INVALID_FILE_PATH for folders and special files. */
int dt_files_open_regular(const char *path, struct stat *st, struct dt_err *err) DT_MUST_CHECK;
/* The owner of what a file replaces or copies, as far as we may. */
void dt_files_give(int fd, const struct stat *st);
/* Removes a tree without following links or crossing mounts. Blocks. */
int dt_files_remove_tree(const char *path, struct dt_err *err) DT_MUST_CHECK;
/* rename(2) that does not replace; between file systems a copy and a removal. Blocks. FILE_EXISTS
 * when the destination is there. */
int dt_files_move(const char *from, const char *to, struct dt_err *err) DT_MUST_CHECK;
/* How the first name of a Content-Disposition is written, which is the only one that some readers
 * look at. */
enum dt_files_name {
    DT_FILES_NAME_LATIN1, /* in heads of HTTP: `_` for what it has not */
    DT_FILES_NAME_UTF8,   /* in parts of forms */
    DT_FILES_NAME_LOOSE,  /* UTF-8; a backslash stands for itself unless there is a quote */
    DT_FILES_NAME_TWICE,  /* UTF-8 of which each byte was made a character of UTF-8 again */
};
/* `attachment; filename="name"; filename*=utf-8''percent`, or with `form-data; name="file"` in
 * front. */
int dt_files_disposition(struct dt_buf *out, const char *kind, struct dt_str name,
                         enum dt_files_name form, struct dt_err *err) DT_MUST_CHECK;

#endif
