/* What a request for a new sandbox may ask for, and what it gets when it does not say. */
#ifndef DT_CREATE_H
#define DT_CREATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/cidr.h"

struct dt_create_ask {
    bool has_build_info;
    bool has_snapshot;
    bool has_domains; /* domainAllowList */
    double gpu;
    double cpu, memory_gib, disk_gib; /* 0 = not said */
    bool block_all;
    const char *allow_list; /* NULL = not said */
};

struct dt_create_limits {
    int64_t cpu, memory_gib, disk_gib; /* per sandbox */
};

/* What a snapshot says (0 = nothing), or a sandbox has. */
struct dt_resources {
    int64_t cpu_millis, memory_mib, disk_mib;
};

/* 1 vCPU, 1 GiB, 3 GiB. */
extern const struct dt_resources dt_resources_default;

/* The part of `r` that `shares` (enum dt_sandbox_share) names. */
struct dt_resources dt_resources_share(const struct dt_resources *r, unsigned shares);
bool dt_resources_equal(const struct dt_resources *a, const struct dt_resources *b);

/* Refuses what this server cannot do yet or the limits forbid (BAD_REQUEST, UNSUPPORTED). On
 * success *res holds the resources and cidrs[0 .. *ncidrs) the networks. */
int dt_create_check(const struct dt_create_ask *ask, const struct dt_create_limits *limits,
                    const struct dt_resources *snapshot, struct dt_resources *res,
                    struct dt_cidr cidrs[DT_CIDRS_MAX], int *ncidrs,
                    struct dt_err *err) DT_MUST_CHECK;

/* 0 = leave it as it is; memory and disk in GiB. */
struct dt_resize_ask {
    int64_t cpu, memory_gib, disk_gib;
};
/* What a sandbox has after a resize. BAD_REQUEST: nothing was asked for, a limit forbids it, a disk
 * would shrink, or it cannot be done while the sandbox runs. */
int dt_resize_check(const struct dt_resize_ask *ask, const struct dt_create_limits *limits,
                    const struct dt_resources *has, bool running, struct dt_resources *ret,
                    struct dt_err *err) DT_MUST_CHECK;

#endif
