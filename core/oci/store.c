#include "oci/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/rand.h"
#include "oci/flow.h"
#include "oci/jail.h"

#define STAGE_PREFIX ".stage-"

enum { UNPACK_END_MS = 600000 };
#define TAR_BYTES_MAX (24ull << 30) /* a layer's file data, and its headers */

static int remove_stages(int dir, struct dt_err *err)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        dt_closep(&fd);
        return dt_err_errno(err, "read layers/");
    }
    int rc = 0;
    const struct dirent *e;
    while (rc == 0 && (e = readdir(d)) != NULL)
        if (strncmp(e->d_name, STAGE_PREFIX, strlen(STAGE_PREFIX)) == 0)
            rc = dt_fd_remove_tree(dir, e->d_name, err);
    (void)closedir(d);
    return rc;
}

static int take_lock(int dir, struct dt_err *err)
{
    DT_AUTO_FD int fd = openat(dir, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return dt_err_errno(err, "open layers/.lock");
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return dt_take_fd(&fd);
    if (errno != EWOULDBLOCK)
        return dt_err_errno(err, "lock layers/");
    return dt_err_set(err, DT_E_CONFLICT,
                      "another import into this data directory is running; wait until it is done");
}

int dt_store_open(int data_dirfd, struct dt_store *ret, struct dt_err *err)
{
    if (geteuid() != 0)
        return dt_err_set(err, DT_E_FORBIDDEN, "importing a snapshot needs root; run it with sudo");
    if (mkdirat(data_dirfd, "layers", 0700) < 0 && errno != EEXIST)
        return dt_err_errno(err, "create layers/");
    DT_AUTO_FD int dir =
        openat(data_dirfd, "layers", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return dt_err_errno(err, "open layers/");
    /* A layer may hold setuid root files; only this folder keeps the host's users from them. */
    if (fchown(dir, 0, 0) < 0 || fchmod(dir, 0700) < 0)
        return dt_err_errno(err, "close layers/ to others");
    DT_AUTO_FD int lock = take_lock(dir, err);
    if (lock < 0 || remove_stages(dir, err) < 0)
        return -1;
    int userns = -1;
    if (dt_jail_userns(&userns, err) < 0)
        return -1;
    *ret = (struct dt_store){.dir = dt_take_fd(&dir), .lock = dt_take_fd(&lock), .userns = userns};
    return 0;
}

void dt_store_done(struct dt_store *s)
{
    dt_closep(&s->dir);
    dt_closep(&s->lock);
    dt_closep(&s->userns);
}

bool dt_store_has(const struct dt_store *s, const char *chain)
{
    struct stat st;
    return fstatat(s->dir, chain, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* ---- in the confined process ---- */

struct unpack_ctx {
    bool has_lower, need_end;
};

static ssize_t unpack_read(void *ctx, void *buf, size_t n, struct dt_err *err)
{
    (void)ctx;
    ssize_t got;
    do
        got = read(DT_JAIL_IN, buf, n);
    while (got < 0 && errno == EINTR);
    return got < 0 ? dt_err_errno(err, "read") : got;
}

_Static_assert(sizeof(struct dt_layer_stats) <= DT_JAIL_REPORT_MAX, "the report holds it");

static int unpack_run(void *ctx, void *report, struct dt_err *err)
{
    const struct unpack_ctx *c = ctx;
    const struct dt_tar_source src = {.read = unpack_read};
    struct dt_layer_stats stats;
    if (dt_layer_unpack(DT_JAIL_ROOT, &src, c->has_lower, c->need_end, &stats, err) < 0)
        return -1;
    char rest[16384]; /* behind the end marker; it counts for the digest */
    ssize_t got;
    while ((got = unpack_read(NULL, rest, sizeof(rest), err)) > 0)
        continue;
    memcpy(report, &stats, sizeof(stats));
    return got < 0 ? -1 : 0;
}

/* ---- in this process ---- */

static int start_unpacking(const struct dt_store *s, const struct dt_store_layer *l, int stage,
                           struct dt_jail *jail, int *sink, struct dt_err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return dt_err_errno(err, "socketpair");
    DT_AUTO_FD int ours = ends[0];
    DT_AUTO_FD int theirs = ends[1];
    struct unpack_ctx ctx = {.has_lower = l->has_lower, .need_end = l->need_end};
    const struct dt_jail_spec spec = {.run = unpack_run,
                                      .ctx = &ctx,
                                      .in = theirs,
                                      .out = -1,
                                      .rootfd = stage,
                                      .userns = s->userns};
    if (dt_jail_start(&spec, jail, err) < 0)
        return -1;
    *sink = dt_take_fd(&ours);
    return 0;
}

/* Feeds the unpacker; when it ends early, its reason is the one that counts. */
static int feed(const struct dt_store *s, const struct dt_store_layer *l, struct dt_jail *jail,
                int *sink, struct dt_flow_sums *sums, struct dt_layer_stats *stats,
                struct dt_err *err)
{
    char report[DT_JAIL_REPORT_MAX];
    const struct dt_flow_spec flow = {.fd = l->blob.fd,
                                      .at = l->blob.at,
                                      .size = l->blob.size,
                                      .userns = s->userns,
                                      .out_max = TAR_BYTES_MAX,
                                      .sink = *sink};
    int rc = dt_flow_run(&flow, sums, err);
    (void)close(dt_take_fd(sink));
    if (rc < 0 && !sums->sink_closed)
        return -1;
    if (dt_jail_wait(jail, UNPACK_END_MS, report, err) < 0)
        return -1;
    if (rc < 0)
        return dt_err_set(err, DT_E_SYSTEM, "the unpacking process stopped reading");
    memcpy(stats, report, sizeof(*stats));
    return 0;
}

static int check_sum(const char *what, const char *want, const char *got, struct dt_err *err)
{
    if (want == NULL || strcmp(want, got) == 0)
        return 0;
    return dt_err_set(err, DT_E_INVALID,
                      "%s has digest sha256:%s, but sha256:%s was promised; the "
                      "archive is damaged",
                      what, got, want);
}

static int unpack_stage(const struct dt_store *s, const struct dt_store_layer *l, int stage,
                        struct dt_layer_stats *stats, struct dt_err *err)
{
    struct dt_jail jail = {0};
    struct dt_flow_sums sums;
    DT_AUTO_FD int sink = -1;
    if (start_unpacking(s, l, stage, &jail, &sink, err) < 0)
        return -1;
    int rc = feed(s, l, &jail, &sink, &sums, stats, err);
    dt_jail_kill(&jail);
    if (rc < 0 || check_sum("the blob", l->digest, sums.in, err) < 0 ||
        check_sum("the layer's tar", l->diff_id, sums.out, err) < 0)
        return -1;
    return syncfs(stage) < 0 ? dt_err_errno(err, "flush the layer to disk") : 0;
}

static int publish(const struct dt_store *s, const char *stage, const char *chain,
                   struct dt_err *err)
{
    if (renameat(s->dir, stage, s->dir, chain) < 0)
        return dt_err_errno(err, "rename the layer's folder");
    return fsync(s->dir) < 0 ? dt_err_errno(err, "flush layers/") : 0;
}

int dt_store_add(const struct dt_store *s, const struct dt_store_layer *layer,
                 struct dt_layer_stats *stats, struct dt_err *err)
{
    char name[sizeof(STAGE_PREFIX) + 16] = STAGE_PREFIX;
    dt_rand_alnum(name + strlen(STAGE_PREFIX), 16);
    if (mkdirat(s->dir, name, 0700) < 0)
        return dt_err_errno(err, "create layers/%s", name);
    DT_AUTO_FD int stage = openat(s->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int rc = stage < 0 ? dt_err_errno(err, "open layers/%s", name)
                       : unpack_stage(s, layer, stage, stats, err);
    if (rc == 0)
        rc = publish(s, name, layer->chain, err);
    if (rc < 0 && dt_fd_remove_tree(s->dir, name, NULL) < 0)
        return dt_err_wrap(err, "layers/%s could not be removed", name);
    return rc;
}

int dt_store_size(const struct dt_store *s, const char *chain, uint64_t *ret, struct dt_err *err)
{
    char path[64 + DT_DIGEST_SIZE];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", s->dir, chain);
    char *const roots[] = {path, NULL};
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    if (fts == NULL)
        return dt_err_errno(err, "read layer %s", chain);
    uint64_t sum = 0;
    const FTSENT *e;
    while ((e = fts_read(fts)) != NULL)
        if (e->fts_info != FTS_DP && e->fts_statp->st_nlink > 0)
            sum += (uint64_t)e->fts_statp->st_blocks * 512 /
                   (S_ISDIR(e->fts_statp->st_mode) ? 1 : (uint64_t)e->fts_statp->st_nlink);
    (void)fts_close(fts);
    *ret = sum;
    return 0;
}
