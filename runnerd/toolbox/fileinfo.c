#include "toolbox/fileinfo.h"

#include <stdio.h>
#include <time.h>

#include "base/utf8.h"

void dt_fileinfo_mode(mode_t mode, char out[DT_FILEINFO_MODE_SIZE])
{
    size_t n = 0;
    const char rwx[] = "rwxrwxrwx";
    if (S_ISDIR(mode))
        out[n++] = 'd';
    if (S_ISLNK(mode))
        out[n++] = 'L';
    if (S_ISBLK(mode) || S_ISCHR(mode))
        out[n++] = 'D';
    if (S_ISFIFO(mode))
        out[n++] = 'p';
    if (S_ISSOCK(mode))
        out[n++] = 'S';
    if (mode & S_ISUID)
        out[n++] = 'u';
    if (mode & S_ISGID)
        out[n++] = 'g';
    if (S_ISCHR(mode))
        out[n++] = 'c';
    if (mode & S_ISVTX)
        out[n++] = 't';
    if (n == 0)
        out[n++] = '-';
    for (int i = 0; i < 9; i++)
        out[n++] = (char)(mode & (0400u >> i) ? rwx[i] : '-');
    out[n] = '\0';
}

static void fraction(long ns, char out[16])
{
    out[0] = '\0';
    if (ns <= 0 || ns > 999999999)
        return;
    int n = snprintf(out, 16, ".%09ld", ns);
    while (n > 0 && out[n - 1] == '0')
        out[--n] = '\0';
}

static void format(struct timespec t, const char *first, const char *zone,
                   char out[DT_FILEINFO_TIME_SIZE])
{
    struct tm tm = {.tm_mday = 1, .tm_year = 70};
    char part[16];
    char date[40];
    bool readable = gmtime_r(&t.tv_sec, &tm) != NULL;
    fraction(t.tv_nsec, part);
    if (!readable || tm.tm_year > 8099) /* the year 9999 is as far as the clients read */
        tm = (struct tm){.tm_mday = 31, .tm_mon = 11, .tm_year = 8099};
    (void)snprintf(date, sizeof(date), "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1,
                   tm.tm_mday);
    (void)snprintf(out, DT_FILEINFO_TIME_SIZE, "%s%s%02d:%02d:%02d%s%s", date, first, tm.tm_hour,
                   tm.tm_min, tm.tm_sec, part, zone);
}

void dt_fileinfo_mod_time(struct timespec t, char out[DT_FILEINFO_TIME_SIZE])
{
    format(t, " ", " +0000 UTC", out);
}

void dt_fileinfo_modified_at(struct timespec t, char out[DT_FILEINFO_TIME_SIZE])
{
    format(t, "T", "Z", out);
}

static json_t *without_news(json_t *j)
{
    (void)json_object_del(j, "modifiedAt");
    return j;
}

json_t *dt_fileinfo_json(const struct dt_fileinfo *f)
{
    char mode[DT_FILEINFO_MODE_SIZE], permissions[8], owner[16], group[16];
    char mod_time[DT_FILEINFO_TIME_SIZE], modified_at[DT_FILEINFO_TIME_SIZE];
    DT_AUTO_BUF struct dt_buf name, path;
    dt_buf_init(&name, 3 * f->name.n + 16);
    dt_buf_init(&path, 3 * f->path.n + 16);
    if (dt_utf8_repair(&name, f->name, NULL) < 0 || dt_utf8_repair(&path, f->path, NULL) < 0)
        return NULL;
    dt_fileinfo_mode(f->st->st_mode, mode);
    dt_fileinfo_mod_time(f->st->st_mtim, mod_time);
    dt_fileinfo_modified_at(f->st->st_mtim, modified_at);
    (void)snprintf(permissions, sizeof(permissions), "%04o", f->st->st_mode & 0777u);
    (void)snprintf(owner, sizeof(owner), "%u", f->st->st_uid);
    (void)snprintf(group, sizeof(group), "%u", f->st->st_gid);
    struct dt_tb_file_info info = {
        .name = name.p != NULL ? name.p : "",
        .is_dir = S_ISDIR(f->st->st_mode),
        .size = f->st->st_size,
        .mod_time = mod_time,
        .modified_at = modified_at,
        .mode = mode,
        .permissions = permissions,
        .owner = owner,
        .group = group,
        .path = f->path.p != NULL && !f->strict ? path.p : NULL,
    };
    json_t *j = dt_tb_file_info_print(&info);
    return j != NULL && f->strict ? without_news(j) : j;
}
