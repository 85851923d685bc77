#include "os/nft_watch.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

enum { EVENTS_MAX = 64 * 1024 };

int dt_nft_watch_open(struct dt_err *err)
{
    const int group = NFNLGRP_NFTABLES;
    const struct sockaddr_nl any = {.nl_family = AF_NETLINK};
    DT_AUTO_FD int fd =
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0 ||
        setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
        return dt_err_errno(err, "listen to changes of nf_tables");
    return dt_take_fd(&fd);
}

struct search {
    const char *table;
    bool found;
};

static int look_at(const struct nlattr *a, void *ctx)
{
    struct search *s = ctx;
    if (mnl_attr_get_type(a) == NFTA_TABLE_NAME && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0 &&
        strcmp(mnl_attr_get_str(a), s->table) == 0)
        s->found = true;
    return MNL_CB_OK;
}

static void read_events(const char *buf, int n, struct search *s)
{
    for (const struct nlmsghdr *h = (const void *)buf; mnl_nlmsg_ok(h, n);
         h = mnl_nlmsg_next(h, &n)) {
        if (h->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE) &&
            mnl_nlmsg_get_payload_len(h) >= sizeof(struct nfgenmsg))
            (void)mnl_attr_parse(h, sizeof(struct nfgenmsg), look_at, s);
    }
}

bool dt_nft_watch_read(int fd, const char *table)
{
    static char buf[EVENTS_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
    struct search s = {.table = table};
    for (;;) {
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_TRUNC);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != ENOBUFS)
            return s.found;
        if (n < 0 || (size_t)n > sizeof(buf))
            s.found = true; /* lost, so perhaps */
        else
            read_events(buf, (int)n, &s);
    }
}
