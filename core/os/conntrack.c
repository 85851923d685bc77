#include "os/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "os/netlink.h"

/* One message that deletes takes about 100 bytes; the room decides how many go in one send. */
enum { BATCH_MAX = 32 * 1024, MSG_MAX = 1024 };

struct sweep {
    dt_conntrack_is_gone *is_gone;
    void *ctx;
    struct dt_nl *remove;
    int rc;
    struct dt_err err;
};

/* The attribute of type `ctx->type`, if there is one. */
struct find {
    uint16_t type;
    const struct nlattr *found;
};

static int find_attr(const struct nlattr *a, void *ctx)
{
    struct find *f = ctx;
    if (mnl_attr_get_type(a) == f->type)
        f->found = a;
    return MNL_CB_OK;
}

static const struct nlattr *nested(const struct nlattr *in, uint16_t type)
{
    struct find f = {.type = type};
    if (in != NULL)
        (void)mnl_attr_parse_nested(in, find_attr, &f);
    return f.found;
}

static const struct nlattr *top(const struct nlmsghdr *h, uint16_t type)
{
    struct find f = {.type = type};
    (void)mnl_attr_parse(h, sizeof(struct nfgenmsg), find_attr, &f);
    return f.found;
}

static void message(struct dt_nl *nl, unsigned type)
{
    struct nfgenmsg *g =
        dt_nl_msg(nl, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), 0, sizeof(*g));
    g->nfgen_family = AF_INET;
    g->version = NFNETLINK_V0;
}

static void flush(struct sweep *s)
{
    /* One that ended meanwhile is not an error. */
    if (s->rc == 0 && s->remove->msg != NULL && dt_nl_talk(s->remove, &s->err) < 0 &&
        s->err.sys_errno != ENOENT)
        s->rc = -1;
    dt_nl_begin(s->remove);
}

static void copy(struct dt_nl *nl, const struct nlattr *a)
{
    if (a != NULL)
        dt_nl_put(nl, a->nla_type, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
}

static void look_at(void *ctx, const struct nlmsghdr *h)
{
    struct sweep *s = ctx;
    const struct nlattr *tuple = top(h, CTA_TUPLE_ORIG);
    const struct nlattr *source = nested(nested(tuple, CTA_TUPLE_IP), CTA_IP_V4_SRC);
    if (source == NULL || mnl_attr_get_payload_len(source) != sizeof(uint32_t) ||
        !s->is_gone(s->ctx, ntohl(mnl_attr_get_u32(source))))
        return;
    if (s->remove->used > BATCH_MAX - 2 * MSG_MAX)
        flush(s);
    message(s->remove, IPCTNL_MSG_CT_DELETE);
    copy(s->remove, tuple);
    copy(s->remove, top(h, CTA_ZONE));
    copy(s->remove, top(h, CTA_ID));
}

int dt_conntrack_remove(dt_conntrack_is_gone *is_gone, void *ctx, struct dt_err *err)
{
    DT_AUTO(dt_nl_close) struct dt_nl *list = NULL;
    DT_AUTO(dt_nl_close) struct dt_nl *remove = NULL;
    if (dt_nl_open(NETLINK_NETFILTER, 4096, &list, err) < 0 ||
        dt_nl_open(NETLINK_NETFILTER, BATCH_MAX, &remove, err) < 0)
        return -1;
    struct sweep s = {.is_gone = is_gone, .ctx = ctx, .remove = remove};
    message(list, IPCTNL_MSG_CT_GET);
    if (dt_nl_dump(list, look_at, &s, err) < 0)
        return err->sys_errno == EINVAL || err->sys_errno == EOPNOTSUPP ? 0 : -1;
    flush(&s);
    if (s.rc < 0)
        *err = s.err;
    return s.rc;
}
