#include "runnerd/identity/peers.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_MAX = 1 << 20, ROOM = 4096 }; /* bytes of its line: some 100,000 members */

static void add(uid_t uids[DT_PEERS_MAX], size_t *n, uid_t uid)
{
    if (*n < DT_PEERS_MAX)
        uids[(*n)++] = uid;
}

/* NULL: there is none. The caller frees *room, where its texts are. */
static const struct group *find_group(struct group *g, char **room)
{
    struct group *found = NULL;
    int r = ERANGE;
    for (size_t size = ROOM; r == ERANGE && size <= GROUP_MAX; size *= 2) {
        free(*room);
        *room = malloc(size);
        r = *room != NULL ? getgrnam_r("daytona", g, *room, size, &found) : ENOMEM;
    }
    return r == 0 ? found : NULL;
}

/* Whom the group names, and whose own group it is. */
static void read_group(uid_t uids[DT_PEERS_MAX], size_t *ret)
{
    char user_room[ROOM];
    struct passwd p, *who = NULL;
    struct group g;
    size_t n = 0;
    DT_AUTO_FREE char *room = NULL;
    const struct group *found = find_group(&g, &room);
    for (char **m = found != NULL ? found->gr_mem : NULL; m != NULL && *m != NULL; m++) {
        if (getpwnam_r(*m, &p, user_room, sizeof(user_room), &who) == 0 && who != NULL)
            add(uids, &n, p.pw_uid);
    }
    setpwent();
    while (found != NULL && getpwent_r(&p, user_room, sizeof(user_room), &who) == 0) {
        if (p.pw_gid == found->gr_gid)
            add(uids, &n, p.pw_uid);
    }
    endpwent();
    *ret = n;
}

void dt_peers_read(struct dt_peers *p)
{
    read_group(p->uids, &p->n);
}

static void on_work(uv_work_t *w)
{
    struct dt_peers *p = w->data;
    read_group(p->fresh, &p->nfresh);
}

static void on_read(uv_work_t *w, int status)
{
    struct dt_peers *p = w->data;
    p->busy = false;
    if (status != 0)
        return;
    memcpy(p->uids, p->fresh, sizeof(p->uids));
    p->n = p->nfresh;
}

void dt_peers_refresh(struct dt_peers *p, uv_loop_t *loop)
{
    p->work.data = p;
    if (!p->busy)
        p->busy = uv_queue_work(loop, &p->work, on_work, on_read) == 0;
}

int dt_peers_check(const struct dt_peers *p, uid_t uid, struct dt_err *err)
{
    bool allowed = uid == 0 || uid == geteuid();
    for (size_t i = 0; i < p->n && !allowed; i++)
        allowed = p->uids[i] == uid;
    if (allowed)
        return 0;
    return dt_err_set(err, DT_E_FORBIDDEN,
                      "user %u may not use this socket: let an administrator run `usermod -aG "
                      "daytona <you>` and log in again, or use an API key",
                      uid);
}
