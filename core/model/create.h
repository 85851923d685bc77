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

/* What the snapshot says; 0 = nothing. */
struct dt_resources {
    int64_t cpu_millis, memory_mib, disk_mib;
};

/* 1 vCPU, 1 GiB, 3 GiB. */
extern const struct dt_resources dt_resources_default;

/* Refuses what this server cannot do yet or the limits forbid (BAD_REQUEST, UNSUPPORTED). On
 * success *res holds the resources and cidrs[0 .. *ncidrs) the networks. */
int dt_create_check(const struct dt_create_ask *ask, const struct dt_create_limits *limits,
                    const struct dt_resources *snapshot, struct dt_resources *res,
                    struct dt_cidr cidrs[DT_CIDRS_MAX], int *ncidrs,
                    struct dt_err *err) DT_MUST_CHECK;

#endif
