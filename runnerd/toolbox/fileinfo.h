/* What GET /files/info says about a file, as the official clients expect it. */
#ifndef DT_TOOLBOX_FILEINFO_H
#define DT_TOOLBOX_FILEINFO_H

#include <sys/stat.h>

#include "gen/toolbox_api.h"

enum { DT_FILEINFO_MODE_SIZE = 24, DT_FILEINFO_TIME_SIZE = 64 };

/* `dtrwxrwxrwx`: type and flag letters of `dalTLDpSugct?` in that order, `-` when there is none,
 * then nine permission letters. */
void dt_fileinfo_mode(mode_t mode, char out[DT_FILEINFO_MODE_SIZE]);
/* `2025-10-31 12:34:56.789 +0000 UTC`: trailing zeros of the fraction are cut, and the dot with
 * them.
 */
void dt_fileinfo_mod_time(struct timespec t, char out[DT_FILEINFO_TIME_SIZE]);
/* `2025-10-31T12:34:56.789Z`, RFC 3339 with up to nine digits. */
void dt_fileinfo_modified_at(struct timespec t, char out[DT_FILEINFO_TIME_SIZE]);
struct dt_fileinfo {
    struct dt_str name;
    struct dt_str path; /* .p == NULL: it is not told */
    const struct stat *st;
    bool strict; /* without the members that old clients do not know */
};
/* A new tree; name and path are repaired to valid UTF-8. NULL without memory. */
json_t *dt_fileinfo_json(const struct dt_fileinfo *f);

#endif
