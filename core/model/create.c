#include "model/create.h"

#include <math.h>

#include "model/sandbox.h"

const struct dt_resources dt_resources_default = {
    .cpu_millis = 1000, .memory_mib = 1024, .disk_mib = 3072};

enum { CPU_MILLIS_MIN = 10, MEMORY_MIB_MIN = 16, DISK_MIB_MIN = 64 };

struct dt_resources dt_resources_share(const struct dt_resources *r, unsigned shares)
{
    return (struct dt_resources){
        .cpu_millis = (shares & DT_SHARE_CPU) != 0 ? r->cpu_millis : 0,
        .memory_mib = (shares & DT_SHARE_MEMORY) != 0 ? r->memory_mib : 0,
        .disk_mib = (shares & DT_SHARE_DISK) != 0 ? r->disk_mib : 0,
    };
}

bool dt_resources_equal(const struct dt_resources *a, const struct dt_resources *b)
{
    return a->cpu_millis == b->cpu_millis && a->memory_mib == b->memory_mib &&
           a->disk_mib == b->disk_mib;
}

static int check_kind(const struct dt_create_ask *ask, struct dt_err *err)
{
    if (ask->has_build_info && ask->has_snapshot)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Cannot specify a snapshot when using a build info entry");
    if (ask->has_build_info)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "buildInfo: this server cannot build images yet. Use a snapshot, or "
                          "import an image with `daytona-runnerd snapshot import NAME FILE`");
    if (ask->gpu > 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "gpu: this server cannot give sandboxes a GPU yet. Leave it out or 0");
    if (ask->has_domains)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "domainAllowList: this server cannot filter by domain yet. Use "
                          "networkAllowList with IPv4 networks");
    return 0;
}

/* `unit` steps per cpu or GiB. */
struct rule {
    const char *what, *suffix;
    int64_t unit, least;
};

/* *out becomes the fallback when nothing was asked. */
static int amount(const struct rule *r, double asked, int64_t limit, int64_t fallback, int64_t *out,
                  struct dt_err *err)
{
    const char *what = r->what, *suffix = r->suffix;
    int64_t unit = r->unit, least = r->least;
    if (asked == 0) {
        *out = fallback;
        return 0;
    }
    if (!(asked > 0) || asked > 1e9)
        return dt_err_set(err, DT_E_BAD_REQUEST, "%s request is out of range", what);
    if (asked > (double)limit)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "%s request %g%s exceeds maximum allowed per sandbox (%lld%s).", what,
                          asked, suffix, (long long)limit, suffix);
    int64_t steps = (int64_t)floor(asked * (double)unit);
    if (steps < least)
        return dt_err_set(err, DT_E_BAD_REQUEST, "%s request %g%s is too small: at least %g%s",
                          what, asked, suffix, (double)least / (double)unit, suffix);
    *out = steps;
    return 0;
}

static int64_t first_set(int64_t a, int64_t b)
{
    return a > 0 ? a : b;
}

static const struct rule cpu_rule = {"CPU", "", 1000, CPU_MILLIS_MIN};
static const struct rule memory_rule = {"Memory", "GB", 1024, MEMORY_MIB_MIN};
static const struct rule disk_rule = {"Disk", "GB", 1024, DISK_MIB_MIN};

int dt_create_check(const struct dt_create_ask *ask, const struct dt_create_limits *limits,
                    const struct dt_resources *snapshot, struct dt_resources *res,
                    struct dt_cidr cidrs[DT_CIDRS_MAX], int *ncidrs, struct dt_err *err)
{
    if (check_kind(ask, err) < 0)
        return -1;
    const struct dt_resources *d = &dt_resources_default;
    if (amount(&cpu_rule, ask->cpu, limits->cpu, first_set(snapshot->cpu_millis, d->cpu_millis),
               &res->cpu_millis, err) < 0 ||
        amount(&memory_rule, ask->memory_gib, limits->memory_gib,
               first_set(snapshot->memory_mib, d->memory_mib), &res->memory_mib, err) < 0 ||
        amount(&disk_rule, ask->disk_gib, limits->disk_gib,
               first_set(snapshot->disk_mib, d->disk_mib), &res->disk_mib, err) < 0)
        return -1;
    *ncidrs = 0;
    if (ask->allow_list == NULL)
        return 0;
    *ncidrs = dt_cidr_list(dt_str_z(ask->allow_list), cidrs, err);
    return *ncidrs < 0 ? -1 : 0;
}

int dt_resize_check(const struct dt_resize_ask *ask, const struct dt_create_limits *limits,
                    const struct dt_resources *has, bool running, struct dt_resources *ret,
                    struct dt_err *err)
{
    struct dt_resources r = *has;
    if (ask->cpu == 0 && ask->memory_gib == 0 && ask->disk_gib == 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "At least one of cpu, memory and disk must be given");
    if (amount(&cpu_rule, (double)ask->cpu, limits->cpu, has->cpu_millis, &r.cpu_millis, err) < 0 ||
        amount(&memory_rule, (double)ask->memory_gib, limits->memory_gib, has->memory_mib,
               &r.memory_mib, err) < 0 ||
        amount(&disk_rule, (double)ask->disk_gib, limits->disk_gib, has->disk_mib, &r.disk_mib,
               err) < 0)
        return -1;
    if (r.disk_mib < has->disk_mib)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Disk size can only be increased: the sandbox has %gGB",
                          (double)has->disk_mib / 1024);
    if (running && r.disk_mib > has->disk_mib)
        return dt_err_set(
            err, DT_E_BAD_REQUEST,
            "The disk can only be resized while the sandbox is stopped: stop it first");
    if (running && r.memory_mib < has->memory_mib)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Memory can only be reduced while the sandbox is stopped: stop it first");
    *ret = r;
    return 0;
}
