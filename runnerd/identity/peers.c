#include "runnerd/identity/peers.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>

static void read_group(uid_t uids[DT_PEERS_MAX], size_t *n)
{
    char room[16384], user_room[4096];
    struct group g, *found = NULL;
    size_t count = 0;
    if (getgrnam_r("daytona", &g, room, sizeof(room), &found) == 0 && found != NULL) {
        for (char **m = g.gr_mem; *m != NULL && count < DT_PEERS_MAX; m++) {
            struct passwd p, *who = NULL;
            if (getpwnam_r(*m, &p, user_room, sizeof(user_room), &who) == 0 && who != NULL)
                uids[count++] = p.pw_uid;
        }
    }
    *n = count;
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
