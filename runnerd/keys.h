/* Who may call: API keys, and users of this machine over the unix socket. Loop only. */
#ifndef DT_KEYS_H
#define DT_KEYS_H

#include "runnerd/store.h"

/* A caller that was recognised; texts are borrowed from the table. */
struct dt_caller {
    const char *org;
    const char *user;
    const char *scopes;
};

struct dt_keys {
    struct dt_key *all;
    size_t n;
    char org[DT_UUID_SIZE]; /* of local users */
    char user[DT_UUID_SIZE];
    uid_t uids[64]; /* members of the group `daytona` */
    size_t nuids;
    uint64_t uids_ms; /* when that was read */
};

/* Reads (and on the first start makes) what the store has. `admin_key` may be NULL; *made is the
 * text of a new key (empty if none was made), to be shown once. */
int dt_keys_load(struct dt_keys *k, struct dt_db_conn *c, const char *admin_key,
                 char made[DT_API_KEY_SIZE], struct dt_err *err) DT_MUST_CHECK;
void dt_keys_done(struct dt_keys *k);
/* By the text of a key. UNAUTHORIZED. */
int dt_keys_check(const struct dt_keys *k, struct dt_str key, struct dt_caller *ret,
                  struct dt_err *err) DT_MUST_CHECK;
/* By the peer of the unix socket: root, this program's own user, the group `daytona`. FORBIDDEN. */
int dt_keys_check_peer(const struct dt_keys *k, uid_t uid, struct dt_caller *ret,
                       struct dt_err *err) DT_MUST_CHECK;
/* Reads the group's members (from files; may block when the system asks a network for them). */
void dt_keys_read_group(uid_t uids[64], size_t *n);

#endif
