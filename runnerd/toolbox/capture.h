/* The output of a command in bounded memory: the first and the last bytes, and when there is more
 * than that, all of it in a file in the sandbox. */
#ifndef DT_TOOLBOX_CAPTURE_H
#define DT_TOOLBOX_CAPTURE_H

#include "base/buf.h"

enum { DT_CAPTURE_FILES_MAX = 20 };
#define DT_CAPTURE_FILE_MAX ((uint64_t)1 << 30)
#define DT_CAPTURE_DIR      "/tmp/.daytona/output"

struct dt_capture {
    size_t limit; /* bytes kept in memory, half at each end */
    struct dt_buf head;
    struct dt_buf tail;
    uint64_t total;
    char name[48]; /* in DT_CAPTURE_DIR; empty: no file */
    const char *dir;
    const char *suffix;
    int fd;
    uint64_t stored;
    bool spool_failed;
};

/* `dir` (kept; made with 0700 when needed; NULL: no file) and `suffix` (kept) name the file to
 * come. */
void dt_capture_init(struct dt_capture *c, size_t limit, const char *dir, const char *suffix);
void dt_capture_done(struct dt_capture *c);
/* A full disk, or more than DT_CAPTURE_FILE_MAX, ends the file; counting goes on. Only memory can
 * fail, and then the bytes are counted as left out. */
void dt_capture_add(struct dt_capture *c, const char *p, size_t n);

/* What to show: cut between characters, repaired to valid UTF-8. */
struct dt_capture_view {
    struct dt_buf head; /* all of it when omitted is 0 */
    struct dt_buf tail;
    uint64_t omitted; /* exact bytes between head and tail, before the repair */
    char path[96];    /* the file that holds everything (or its first GiB); empty: none */
};
int dt_capture_show(struct dt_capture *c, struct dt_capture_view *v,
                    struct dt_err *err) DT_MUST_CHECK;
void dt_capture_view_done(struct dt_capture_view *v);

#endif
