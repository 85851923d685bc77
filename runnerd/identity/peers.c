#include "runnerd/identity/peers.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

enum { GROUP_MAX = 1 << 20, ROOM = 4096 }; /* bytes of its line: some 100,000 members */

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

static void read_group(struct dt_members *ret)
{
    char user_room[ROOM];
    struct group g;
    DT_AUTO_FREE char *room = NULL;
    const struct group *found = find_group(&g, &room);
    *ret = (struct dt_members){.there = found != NULL};
    if (found == NULL)
        return;
    ret->gid = found->gr_gid;
    for (char **m = found->gr_mem; *m != NULL && ret->n < DT_PEERS_MAX; m++) {
        struct passwd p, *who = NULL;
        if (getpwnam_r(*m, &p, user_room, sizeof(user_room), &who) == 0 && who != NULL)
            ret->uids[ret->n++] = p.pw_uid;
    }
}

void dt_peers_read(struct dt_peers *p)
{
    read_group(&p->members);
}

static void on_work(uv_work_t *w)
{
    struct dt_peers *p = w->data;
    read_group(&p->fresh);
}

static void on_read(uv_work_t *w, int status)
{
    struct dt_peers *p = w->data;
    p->busy = false;
    if (status == 0)
        p->members = p->fresh;
}

void dt_peers_refresh(struct dt_peers *p, uv_loop_t *loop)
{
    p->work.data = p;
    if (!p->busy)
        p->busy = uv_queue_work(loop, &p->work, on_work, on_read) == 0;
}

int dt_peers_check(const struct dt_peers *p, uid_t uid, gid_t gid, struct dt_err *err)
{
    const struct dt_members *m = &p->members;
    bool allowed = uid == 0 || uid == geteuid() || (m->there && gid == m->gid);
    for (size_t i = 0; i < m->n && !allowed; i++)
        allowed = m->uids[i] == uid;
    if (allowed)
        return 0;
    return dt_err_set(err, DT_E_FORBIDDEN,
                      "user %u may not use this socket: let an administrator run `usermod -aG "
                      "daytona <you>` and log in again, or use an API key",
                      uid);
}
