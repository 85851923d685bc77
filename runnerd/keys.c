#include "runnerd/keys.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "base/clock.h"

static int add(void *ctx, const struct dt_key *key, struct dt_err *err)
{
    struct dt_keys *k = ctx;
    struct dt_key *more = realloc(k->all, (k->n + 1) * sizeof(*more));
    if (more == NULL)
        return dt_err_set(err, DT_E_NOMEM, "keys");
    k->all = more;
    k->all[k->n] = *key;
    if ((k->all[k->n].scopes = strdup(key->scopes)) == NULL)
        return dt_err_set(err, DT_E_NOMEM, "keys");
    k->n++;
    return 0;
}

static int put(struct dt_keys *k, struct dt_db_conn *c, const char *text, const char *name,
               struct dt_err *err)
{
    char hint[32], scopes[512];
    struct dt_key key = {.scopes = scopes};
    (void)snprintf(scopes, sizeof(scopes), "%s", dt_scopes_all);
    dt_hash(dt_str_z(text), key.hash);
    memcpy(key.org, k->org, sizeof(key.org));
    memcpy(key.user, k->user, sizeof(key.user));
    dt_api_key_hint(dt_str_z(text), hint);
    return dt_store_key_put(c, &key, name, hint, err);
}

int dt_keys_load(struct dt_keys *k, struct dt_db_conn *c, const char *admin_key,
                 char made[DT_API_KEY_SIZE], struct dt_err *err)
{
    made[0] = '\0';
    if (admin_key != NULL && !dt_api_key_shaped(dt_str_z(admin_key)))
        return dt_err_set(err, DT_E_INVALID,
                          "ADMIN_API_KEY must be dtn_ and at least 16 letters or digits, for "
                          "example from: echo dtn_$(openssl rand -hex 32)");
    if (dt_store_local_user(c, k->org, k->user, err) < 0)
        return -1;
    if (admin_key != NULL && put(k, c, admin_key, "admin", err) < 0)
        return -1;
    if (dt_store_key_all(c, add, k, err) < 0)
        return -1;
    if (k->n > 0)
        return 0;
    dt_api_key_make(made);
    if (put(k, c, made, "first", err) < 0)
        return -1;
    return dt_store_key_all(c, add, k, err);
}

void dt_keys_done(struct dt_keys *k)
{
    for (size_t i = 0; i < k->n; i++)
        free(k->all[i].scopes);
    free(k->all);
    k->all = NULL;
    k->n = 0;
}

int dt_keys_check(const struct dt_keys *k, struct dt_str key, struct dt_caller *ret,
                  struct dt_err *err)
{
    uint8_t hash[DT_HASH_SIZE];
    const struct dt_key *found = NULL;
    dt_hash(key, hash);
    for (size_t i = 0; i < k->n; i++) {
        if (dt_equal_secret(k->all[i].hash, hash, sizeof(hash)))
            found = &k->all[i];
    }
    if (found == NULL || (found->expires_ms > 0 && found->expires_ms <= dt_clock_real_ms()))
        return dt_err_set(err, DT_E_UNAUTHORIZED, "Invalid API key");
    *ret = (struct dt_caller){.org = found->org, .user = found->user, .scopes = found->scopes};
    return 0;
}

int dt_keys_check_peer(const struct dt_keys *k, uid_t uid, struct dt_caller *ret,
                       struct dt_err *err)
{
    bool allowed = uid == 0 || uid == geteuid();
    for (size_t i = 0; i < k->nuids && !allowed; i++)
        allowed = k->uids[i] == uid;
    if (!allowed)
        return dt_err_set(err, DT_E_FORBIDDEN,
                          "user %u may not use this socket: let an administrator run `usermod -aG "
                          "daytona <you>` and log in again, or use an API key",
                          uid);
    *ret = (struct dt_caller){.org = k->org, .user = k->user, .scopes = dt_scopes_all};
    return 0;
}

void dt_keys_read_group(uid_t uids[64], size_t *n)
{
    char room[16384], user_room[4096];
    struct group g, *found = NULL;
    size_t count = 0;
    if (getgrnam_r("daytona", &g, room, sizeof(room), &found) == 0 && found != NULL) {
        for (char **m = g.gr_mem; *m != NULL && count < 64; m++) {
            struct passwd p, *who = NULL;
            if (getpwnam_r(*m, &p, user_room, sizeof(user_room), &who) == 0 && who != NULL)
                uids[count++] = p.pw_uid;
        }
    }
    *n = count;
}
