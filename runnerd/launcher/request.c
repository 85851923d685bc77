#include "runnerd/launcher/request.h"

#include <string.h>

#define MIB (1ULL << 20)

enum {
    NEEDS_ID = 1,
    HAS_SPEC = 2,
    HAS_FD = 4,
    HAS_GRACE = 8,
    HAS_CURSOR = 16,
    FIRST = 32,
    HAS_BYTES = 64,
    HAS_SOCKETS = 128,
    HAS_OTHER = 256
};

static const unsigned rules[] = {
    [DT_LW_HELLO] = FIRST,
    [DT_LW_CREATE] = NEEDS_ID | HAS_SPEC | HAS_FD,
    [DT_LW_START] = NEEDS_ID | HAS_SPEC | HAS_FD,
    [DT_LW_STOP] = NEEDS_ID | HAS_GRACE,
    [DT_LW_DESTROY] = NEEDS_ID,
    [DT_LW_LIST] = HAS_CURSOR,
    [DT_LW_STATS] = NEEDS_ID,
    [DT_LW_VOLUME_CREATE] = NEEDS_ID | HAS_BYTES,
    [DT_LW_VOLUME_DELETE] = NEEDS_ID,
    [DT_LW_SOCKETS] = NEEDS_ID | HAS_SOCKETS,
    [DT_LW_RESIZE] = NEEDS_ID | HAS_SPEC,
    [DT_LW_NETWORK] = NEEDS_ID | HAS_SPEC,
    [DT_LW_PAUSE] = NEEDS_ID,
    [DT_LW_RESUME] = NEEDS_ID,
    [DT_LW_ARCHIVE] = NEEDS_ID,
    [DT_LW_RESTORE] = NEEDS_ID,
    [DT_LW_BACKUP] = NEEDS_ID,
    [DT_LW_FORK] = NEEDS_ID | HAS_SPEC | HAS_FD | HAS_OTHER,
    [DT_LW_CANCEL] = NEEDS_ID,
};

static bool is_zero(const void *p, size_t n)
{
    const unsigned char *at = p;
    for (size_t i = 0; i < n; i++) {
        if (at[i] != 0)
            return false;
    }
    return true;
}

static int bad(struct dt_err *err, const char *field)
{
    return dt_err_set(err, DT_E_INVALID, "%s is out of range", field);
}

static bool hostname_ok(const char name[64])
{
    size_t n = strnlen(name, 64);
    if (n == 0 || n == 64 || name[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return is_zero(name + n, 64 - n);
}

/* The names of a path, up to the zeros that must fill the rest. */
static bool names_ok(const char *path, const char *end)
{
    const char *name = path;
    for (;; path++) {
        unsigned char c = path < end ? (unsigned char)*path : '\0';
        if (c != '\0' && c != '/') {
            if (c < 0x20 || c == 0x7f)
                return false;
            continue;
        }
        size_t n = (size_t)(path - name);
        if (n == 0 || (n <= 2 && memcmp(name, "..", n) == 0))
            return false;
        if (c == '\0')
            return path < end && is_zero(path, (size_t)(end - path));
        name = path + 1;
    }
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool volume_ok(const struct dt_lw_volume *v)
{
    const char *end = v->path + sizeof(v->path);
    const char *sub_end = v->subpath + sizeof(v->subpath);
    return !is_zero(v->id, sizeof(v->id)) && v->path[0] == '/' && names_ok(v->path + 1, end) &&
           !is_below(v->path, "/proc") && !is_below(v->path, "/sys") &&
           !is_below(v->path, "/dev") &&
           (is_zero(v->subpath, sizeof(v->subpath)) || names_ok(v->subpath, sub_end));
}

static int check_volumes(const struct dt_lw_spec *s, struct dt_err *err)
{
    if (s->nvolumes > DT_LW_VOLUMES_MAX)
        return bad(err, "nvolumes");
    for (uint32_t i = 0; i < s->nvolumes; i++) {
        if (!volume_ok(&s->volumes[i]))
            return bad(err, "volume");
    }
    return is_zero(s->volumes + s->nvolumes,
                   sizeof(s->volumes) - s->nvolumes * sizeof(s->volumes[0]))
               ? 0
               : bad(err, "unused volumes");
}

static int check_cidrs(const struct dt_lw_spec *s, struct dt_err *err)
{
    if (s->ncidrs > DT_LW_CIDRS_MAX || (s->net == DT_LW_NET_ALLOW) != (s->ncidrs > 0))
        return bad(err, "ncidrs");
    for (uint32_t i = 0; i < s->ncidrs; i++) {
        const struct dt_lw_cidr *c = &s->cidrs[i];
        if (c->prefix > 32)
            return bad(err, "prefix");
        uint32_t host = c->prefix == 32 ? 0 : UINT32_MAX >> c->prefix;
        if ((c->addr & host) != 0)
            return bad(err, "address of a range");
    }
    return is_zero(s->cidrs + s->ncidrs, sizeof(s->cidrs) - s->ncidrs * sizeof(s->cidrs[0]))
               ? 0
               : bad(err, "unused ranges");
}

static bool disk_size_ok(uint64_t bytes)
{
    return bytes >= 64 * MIB && bytes <= MIB << 24 && bytes % MIB == 0;
}

static int check_spec(const struct dt_lw_spec *s, struct dt_err *err)
{
    if (s->memory_bytes < 16 * MIB || s->memory_bytes > MIB << 20)
        return bad(err, "memory_bytes");
    if (!disk_size_ok(s->disk_bytes))
        return bad(err, "disk_bytes");
    if (s->cpu_millis < 10 || s->cpu_millis > 1024000)
        return bad(err, "cpu_millis");
    if (s->pids < 16 || s->pids > 65536)
        return bad(err, "pids");
    if (s->net > DT_LW_NET_ALLOW)
        return bad(err, "net");
    if (s->nlayers > DT_LW_LAYERS_MAX)
        return bad(err, "nlayers");
    if (!is_zero(s->layers + s->nlayers, sizeof(s->layers) - s->nlayers * sizeof(s->layers[0])))
        return bad(err, "unused layers");
    if (!hostname_ok(s->hostname))
        return bad(err, "hostname");
    return check_volumes(s, err) < 0 ? -1 : check_cidrs(s, err);
}

static int check_sockets(const struct dt_lw_request *r, bool has, struct dt_err *err)
{
    if (!has)
        return r->count == 0 && r->family == 0 ? 0 : bad(err, "count or family");
    if (r->count == 0 || r->count > DT_LW_SOCKETS_MAX)
        return bad(err, "count");
    return r->family == DT_LW_IPV4 || r->family == DT_LW_IPV6 ? 0 : bad(err, "family");
}

int dt_request_check(const struct dt_lw_request *r, bool greeted, bool has_fd, struct dt_err *err)
{
    if (r->version != DT_LW_VERSION)
        return bad(err, "version");
    if (r->op >= sizeof(rules) / sizeof(*rules) || rules[r->op] == 0)
        return bad(err, "op");
    if (r->seq == 0)
        return bad(err, "seq");
    unsigned rule = rules[r->op];
    if (((rule & FIRST) != 0) == greeted)
        return dt_err_set(err, DT_E_INVALID, "op %u is not allowed now", r->op);
    if (((rule & NEEDS_ID) != 0) == is_zero(r->id, sizeof(r->id)))
        return bad(err, "id");
    if (((rule & HAS_FD) != 0) != has_fd)
        return dt_err_set(err, DT_E_INVALID, "op %u %s", r->op,
                          has_fd ? "takes no descriptor" : "needs one descriptor");
    if (r->grace_ms > ((rule & HAS_GRACE) != 0 ? 60000U : 0U))
        return bad(err, "grace_ms");
    if ((rule & HAS_CURSOR) == 0 && r->cursor != 0)
        return bad(err, "cursor");
    if ((rule & HAS_BYTES) != 0 ? !disk_size_ok(r->bytes) : r->bytes != 0)
        return bad(err, "bytes");
    if (check_sockets(r, (rule & HAS_SOCKETS) != 0, err) < 0)
        return -1;
    if (((rule & HAS_OTHER) != 0) == is_zero(r->other, sizeof(r->other)))
        return bad(err, "other");
    if ((rule & HAS_SPEC) == 0)
        return is_zero(&r->spec, sizeof(r->spec)) ? 0 : bad(err, "spec");
    return check_spec(&r->spec, err);
}
