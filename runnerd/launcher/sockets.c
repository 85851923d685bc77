/* SOCKETS: sockets in the network namespace of a running sandbox. */
#include <stdio.h>
#include <sys/socket.h>

#include "os/netns_socket.h"
#include "runnerd/launcher/launcher.h"

static int make(struct dt_launcher *l, const struct dt_lw_request *r, int *fds, struct dt_err *err)
{
    const struct dt_sandbox *s = dt_sandbox_find(l, r->id);
    if (s == NULL || s->state != DT_RUNNING)
        return dt_err_set(err, DT_E_GONE, "no sandbox with this id runs");
    int family = r->family == DT_LW_IPV6 ? AF_INET6 : AF_INET;
    return dt_netns_sockets(s->box.pidfd, l->host_netns, family, fds, r->count, err);
}

void dt_sandbox_sockets(struct dt_launcher *l, const struct dt_lw_request *r,
                        struct dt_asked *asked)
{
    int fds[DT_LW_SOCKETS_MAX];
    struct dt_err err;
    if (make(l, r, fds, &err) < 0) {
        dt_peer_reply(l, asked, r->id, &err);
        return;
    }
    struct dt_lw_answer a;
    dt_answer_init(&a, asked, r->id, NULL);
    dt_peer_answer_fds(l, asked, &a, fds, r->count);
    for (uint32_t i = 0; i < r->count; i++)
        (void)close(fds[i]);
}
