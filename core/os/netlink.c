#include "os/netlink.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { ANSWER_MAX = 16 * 1024 };

static int set_options(struct mnl_socket *s)
{
    int on = 1;
    struct timeval wait = {.tv_sec = DT_NL_WAIT_MS / 1000};
    int fd = mnl_socket_get_fd(s);
    /* Both only make answers shorter and clearer, so an older kernel without them is fine. */
    (void)mnl_socket_setsockopt(s, NETLINK_CAP_ACK, &on, sizeof(on));
    (void)mnl_socket_setsockopt(s, NETLINK_EXT_ACK, &on, sizeof(on));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
        return -1;
    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
}

int dt_nl_open(int bus, size_t cap, struct dt_nl **ret, struct dt_err *err)
{
    assert(cap >= 4096);
    DT_AUTO(dt_nl_close) struct dt_nl *nl = calloc(1, sizeof(*nl));
    if (nl == NULL || (nl->buf = malloc(cap)) == NULL)
        return dt_err_set(err, DT_E_NOMEM, "netlink socket");
    nl->cap = cap;
    nl->sock = mnl_socket_open2(bus, SOCK_CLOEXEC);
    if (nl->sock == NULL || set_options(nl->sock) < 0 ||
        mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0)
        return dt_err_errno(err, "open netlink socket %d", bus);
    dt_nl_begin(nl);
    *ret = dt_take(nl);
    return 0;
}

struct dt_nl *dt_nl_close(struct dt_nl *nl)
{
    if (nl == NULL)
        return NULL;
    if (nl->sock != NULL)
        (void)mnl_socket_close(nl->sock);
    free(nl->buf);
    free(nl);
    return NULL;
}

void dt_nl_begin(struct dt_nl *nl)
{
    nl->used = 0;
    nl->msg = NULL;
    nl->depth = 0;
    nl->overflow = false;
    nl->is_batch = false;
    nl->first = nl->seq + 1;
}

static void finish_msg(struct dt_nl *nl)
{
    assert(nl->depth == 0);
    if (nl->msg != NULL)
        nl->used += NLMSG_ALIGN(nl->msg->nlmsg_len);
    nl->msg = NULL;
}

static size_t room(const struct dt_nl *nl)
{
    return nl->cap - nl->used;
}

void *dt_nl_msg(struct dt_nl *nl, uint16_t type, uint16_t flags, size_t extra)
{
    finish_msg(nl);
    if (room(nl) < 512 + extra) {
        /* Written over the start, and never sent. */
        nl->overflow = true;
        nl->used = 0;
    }
    nl->msg = mnl_nlmsg_put_header(nl->buf + nl->used);
    nl->msg->nlmsg_type = type;
    nl->msg->nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST);
    nl->msg->nlmsg_seq = ++nl->seq;
    return mnl_nlmsg_put_extra_header(nl->msg, extra);
}

void dt_nl_put(struct dt_nl *nl, uint16_t type, const void *p, size_t n)
{
    if (!mnl_attr_put_check(nl->msg, room(nl), type, n, p))
        nl->overflow = true;
}

void dt_nl_u32(struct dt_nl *nl, uint16_t type, uint32_t v)
{
    dt_nl_put(nl, type, &v, sizeof(v));
}

void dt_nl_be32(struct dt_nl *nl, uint16_t type, uint32_t v)
{
    dt_nl_u32(nl, type, htonl(v));
}

void dt_nl_strz(struct dt_nl *nl, uint16_t type, const char *z)
{
    dt_nl_put(nl, type, z, strlen(z) + 1);
}

void *dt_nl_raw(struct dt_nl *nl, size_t n)
{
    if (nl->msg->nlmsg_len + NLMSG_ALIGN(n) > room(nl)) {
        nl->overflow = true;
        return mnl_nlmsg_get_payload(nl->msg);
    }
    return mnl_nlmsg_put_extra_header(nl->msg, n);
}

void dt_nl_nest(struct dt_nl *nl, uint16_t type)
{
    assert(nl->depth < DT_NL_DEPTH);
    struct nlattr *a = mnl_attr_nest_start_check(nl->msg, room(nl), type);
    if (a == NULL)
        nl->overflow = true;
    nl->nest[nl->depth++] = a;
}

void dt_nl_end(struct dt_nl *nl)
{
    assert(nl->depth > 0);
    struct nlattr *a = nl->nest[--nl->depth];
    if (a != NULL)
        mnl_attr_nest_end(nl->msg, a);
}

static int ext_ack_attr(const struct nlattr *a, void *ctx)
{
    const char **text = ctx;
    if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
        *text = mnl_attr_get_str(a);
    return MNL_CB_OK;
}

static int report(const struct nlmsghdr *h, const struct nlmsgerr *e, struct dt_err *err)
{
    const char *text = NULL;
    if ((h->nlmsg_flags & NLM_F_ACK_TLVS) != 0 && (h->nlmsg_flags & NLM_F_CAPPED) != 0)
        (void)mnl_attr_parse(h, sizeof(*e), ext_ack_attr, &text);
    errno = -e->error;
    if (text != NULL)
        return dt_err_errno(err, "netlink: %s", text);
    return dt_err_errno(err, "netlink");
}

/* What one datagram of answers did: the batch goes on, or it is over. */
static bool take_answers(struct dt_nl *nl, const char *buf, int n, int *rc, struct dt_err *err)
{
    for (const struct nlmsghdr *h = (const void *)buf; mnl_nlmsg_ok(h, n);
         h = mnl_nlmsg_next(h, &n)) {
        bool ours = h->nlmsg_seq - nl->first <= nl->seq - nl->first;
        if (h->nlmsg_type != NLMSG_ERROR || !ours ||
            mnl_nlmsg_get_payload_len(h) < sizeof(struct nlmsgerr))
            continue;
        const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
        if (e->error != 0 && *rc == 0)
            *rc = report(h, e, err);
        if (h->nlmsg_seq == nl->seq || (nl->is_batch && e->error != 0 && h->nlmsg_seq == nl->first))
            return true;
    }
    return false;
}

static int send_all(struct dt_nl *nl, struct dt_err *err)
{
    finish_msg(nl);
    if (nl->overflow)
        return dt_err_set(err, DT_E_TOO_LARGE, "more than %zu bytes of netlink messages", nl->cap);
    if (mnl_socket_sendto(nl->sock, nl->buf, nl->used) < 0)
        return dt_err_errno(err, "send netlink messages");
    return 0;
}

/* The next datagram of answers: its bytes, or -1. */
static int receive(struct dt_nl *nl, char *in, size_t size, struct dt_err *err)
{
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(nl->sock, in, size);
        if (n >= 0)
            return (int)n;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return dt_err_set(err, DT_E_TIMEOUT, "the kernel did not answer netlink in %d ms",
                              DT_NL_WAIT_MS);
        if (errno != EINTR)
            return dt_err_errno(err, "receive netlink answer");
    }
}

int dt_nl_talk(struct dt_nl *nl, struct dt_err *err)
{
    char in[ANSWER_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
    int rc = 0;
    assert(nl->msg != NULL);
    if (!nl->is_batch)
        nl->msg->nlmsg_flags |= NLM_F_ACK;
    if (send_all(nl, err) < 0)
        return -1;
    for (;;) {
        int n = receive(nl, in, sizeof(in), err);
        if (n < 0)
            return -1;
        if (take_answers(nl, in, n, &rc, err))
            return rc;
    }
}

/* 1: more to come, 0: that was all. */
static int take_dump(struct dt_nl *nl, const char *in, int n, dt_nl_each *each, void *ctx,
                     struct dt_err *err)
{
    for (const struct nlmsghdr *h = (const void *)in; mnl_nlmsg_ok(h, n);
         h = mnl_nlmsg_next(h, &n)) {
        if (h->nlmsg_seq != nl->seq)
            continue;
        if (h->nlmsg_type == NLMSG_DONE)
            return 0;
        if (h->nlmsg_type == NLMSG_ERROR)
            return report(h, mnl_nlmsg_get_payload(h), err);
        each(ctx, h);
    }
    return 1;
}

int dt_nl_dump(struct dt_nl *nl, dt_nl_each *each, void *ctx, struct dt_err *err)
{
    char in[ANSWER_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
    assert(nl->msg != NULL);
    nl->msg->nlmsg_flags |= NLM_F_DUMP;
    if (send_all(nl, err) < 0)
        return -1;
    for (;;) {
        int n = receive(nl, in, sizeof(in), err);
        if (n < 0)
            return -1;
        int more = take_dump(nl, in, n, each, ctx, err);
        if (more <= 0)
            return more;
    }
}
