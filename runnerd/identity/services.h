/* The keys of programs that belong to this server: they act for no user and no organization. */
#ifndef DT_SERVICES_H
#define DT_SERVICES_H

#include "gen/config_runnerd.h"
#include "json/route.h"
#include "model/token.h"

enum { DT_SERVICES_MAX = 5 };

struct dt_services {
    struct {
        enum dt_service service;
        uint8_t hash[DT_HASH_SIZE];
    } keys[DT_SERVICES_MAX];
    size_t n;
};

/* From the settings; an empty one has no key. INVALID: too short to be a secret, or given twice. */
int dt_services_load(struct dt_services *s, const struct dt_config_runnerd *config,
                     struct dt_err *err) DT_MUST_CHECK;
/* 0: no service's key has this hash. */
uint32_t dt_services_find(const struct dt_services *s, const uint8_t hash[DT_HASH_SIZE]);

#endif
