/*
 * Who there is: users, organizations, their members, roles and API keys. All of it is in memory,
 * because every request asks. The store has the truth: a job that changes it there reads the
 * organization or user anew in the same transaction, and the loop puts that here after the commit
 * and before anybody is answered, so that no deleted key works and no old permission holds.
 *
 * Objects are never changed in place (but for a key's last use): they are replaced. No pointer into
 * the directory may outlive the callback that got it. Loop only.
 */
#ifndef DT_DIRECTORY_H
#define DT_DIRECTORY_H

#include "base/rand.h"
#include "json/json.h"
#include "model/permission.h"
#include "model/token.h"

enum {
    DT_USER_ID_SIZE = 256, /* a `sub` has at most 255 characters (OpenID Connect Core, section 2) */
    DT_EMAIL_SIZE = 255,   /* RFC 5321: at most 254 */
    DT_DIRECTORY_BUCKETS = 4096,
};

/* Built in, or of one organization. */
struct dt_role {
    char id[DT_UUID_SIZE];
    char *name, *description;
    uint32_t permissions;
    int64_t created_ms, updated_ms;
};

struct dt_member {
    char *user;
    bool owner;
    char (*roles)[DT_UUID_SIZE];
    size_t nroles;
    uint32_t permissions; /* of all roles together; all there are for an owner */
    int64_t created_ms, updated_ms;
};

struct dt_key {
    struct dt_key *next; /* in its bucket */
    struct dt_org *org;
    uint8_t hash[DT_HASH_SIZE];
    char *user;
    char *name;
    char prefix[4], suffix[4]; /* of the key's text */
    uint32_t permissions;
    int64_t created_ms;
    int64_t expires_ms;   /* 0 = never */
    int64_t last_used_ms; /* 0 = never */
};

enum dt_quota {
    DT_QUOTA_TOTAL_CPU,    /* cores, of all running sandboxes together */
    DT_QUOTA_TOTAL_MEMORY, /* GiB */
    DT_QUOTA_TOTAL_DISK,   /* GiB, of all sandboxes */
    DT_QUOTA_MAX_CPU,      /* of one sandbox */
    DT_QUOTA_MAX_MEMORY,
    DT_QUOTA_MAX_DISK,
    DT_QUOTA_SNAPSHOTS,
    DT_QUOTA_SNAPSHOT_SIZE, /* GiB */
    DT_QUOTA_VOLUMES,
    DT_QUOTA_AUTHENTICATED_RATE, /* requests; 0: no limit. Behind each: in how many seconds */
    DT_QUOTA_AUTHENTICATED_RATE_S,
    DT_QUOTA_CREATE_RATE, /* new sandboxes */
    DT_QUOTA_CREATE_RATE_S,
    DT_QUOTA_LIFECYCLE_RATE, /* other changes of them */
    DT_QUOTA_LIFECYCLE_RATE_S,
    DT_QUOTA_SNAPSHOT_REST, /* minutes that an unused snapshot stays active */
    DT_QUOTAS,
};

/* What the vault opens; .p NULL: there is none. */
struct dt_sealed {
    char *p;
    size_t n;
};

struct dt_org {
    struct dt_org *next; /* in its bucket */
    char id[DT_UUID_SIZE];
    char *name;
    char *created_by; /* a user's id */
    bool personal;
    int64_t suspended_ms;       /* 0 = it is not */
    int64_t suspended_until_ms; /* 0 = until somebody ends it */
    char *suspension_reason;    /* may be NULL */
    int64_t suspension_grace_hours;
    int64_t quotas[DT_QUOTAS]; /* -1: what the server's settings say */
    char *default_region;      /* may be NULL */
    bool limited_egress;
    struct dt_sealed otel, experimental; /* its configurations, in JSON */
    int64_t created_ms, updated_ms;
    struct dt_role *roles; /* its own, in the order of their making */
    size_t nroles;
    struct dt_member *members; /* in the order of their coming */
    size_t nmembers;
    struct dt_key *keys;
    size_t nkeys;
};

struct dt_user {
    struct dt_user *next; /* in its bucket */
    char *id;
    char *name;
    char *email; /* may be empty */
    bool email_verified;
    bool admin; /* of the whole system */
    bool local; /* of this machine: who uses the unix socket */
    int64_t created_ms, updated_ms;
};

struct dt_directory {
    struct dt_org *orgs[DT_DIRECTORY_BUCKETS];
    struct dt_user *users[DT_DIRECTORY_BUCKETS];
    struct dt_key *keys[DT_DIRECTORY_BUCKETS];
    struct dt_role *builtin;
    size_t nbuiltin;
    char local_user[DT_USER_ID_SIZE]; /* who uses the unix socket */
    char local_org[DT_UUID_SIZE];     /* its personal organization */
};

/* NULL is fine. Return NULL. */
struct dt_org *dt_org_free(struct dt_org *o);
struct dt_user *dt_user_free(struct dt_user *u);
DT_DEFINE_AUTO(struct dt_org *, dt_org_free)
DT_DEFINE_AUTO(struct dt_user *, dt_user_free)

/* NULL without memory. */
struct dt_user *dt_user_copy(const struct dt_user *u);

void dt_directory_clear(struct dt_directory *d);
/* Takes over `o`, in place of the one with its id. */
void dt_directory_put_org(struct dt_directory *d, struct dt_org *o);
void dt_directory_drop_org(struct dt_directory *d, const char *id);
void dt_directory_put_user(struct dt_directory *d, struct dt_user *u);

/* NULL when there is none. */
struct dt_org *dt_directory_org(const struct dt_directory *d, const char *id);
struct dt_user *dt_directory_user(const struct dt_directory *d, const char *id);
/* Expired ones too. */
struct dt_key *dt_directory_key(const struct dt_directory *d, const uint8_t hash[DT_HASH_SIZE]);
/* The one made with the user. */
struct dt_org *dt_directory_personal(const struct dt_directory *d, const char *user);
/* The organizations of a user, and all users, in the order of their making: *ret is an array of *n,
 * free() it. -1 without memory. */
int dt_directory_orgs_of(const struct dt_directory *d, const char *user, const struct dt_org ***ret,
                         size_t *n);
int dt_directory_users(const struct dt_directory *d, const struct dt_user ***ret, size_t *n);
/* All of them in no order: start with NULL. */
struct dt_org *dt_directory_next_org(const struct dt_directory *d, const struct dt_org *o);
struct dt_user *dt_directory_next_user(const struct dt_directory *d, const struct dt_user *u);

struct dt_member *dt_org_member(const struct dt_org *o, const char *user);
/* By user and name. */
struct dt_key *dt_org_key(const struct dt_org *o, const char *user, const char *name);
/* One of its own or a built-in one. */
const struct dt_role *dt_directory_role(const struct dt_directory *d, const struct dt_org *o,
                                        const char *id);
bool dt_org_suspended(const struct dt_org *o, int64_t now_ms);

#endif
