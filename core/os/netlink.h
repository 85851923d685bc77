/*
 * A netlink socket and the messages being built for it: several messages go out in one send, and
 * their answers are read until the last one was acknowledged.
 *
 * Building cannot fail: what does not fit is remembered and reported by dt_nl_talk().
 */
#ifndef DT_NETLINK_H
#define DT_NETLINK_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { DT_NL_DEPTH = 12, DT_NL_WAIT_MS = 5000 };

struct dt_nl {
    struct mnl_socket *sock;
    char *buf;
    size_t cap;
    size_t used;
    struct nlmsghdr *msg; /* being built; NULL between messages */
    struct nlattr *nest[DT_NL_DEPTH];
    unsigned depth;
    bool overflow;
    uint32_t seq;
    uint32_t first; /* sequence number of the first message since dt_nl_begin() */
    bool is_batch;  /* an error of the first message ends the whole batch */
};

/* `bus` is NETLINK_*; `cap` bytes for messages, at least 4096. The caller owns *ret. The socket
 * belongs to the network namespace that the caller is in. */
int dt_nl_open(int bus, size_t cap, struct dt_nl **ret, struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine; returns NULL. */
struct dt_nl *dt_nl_close(struct dt_nl *nl);
DT_DEFINE_AUTO(struct dt_nl *, dt_nl_close)

/* Forgets what was built. */
void dt_nl_begin(struct dt_nl *nl);
/* Starts the next message; NLM_F_REQUEST is implied. Returns its zeroed header of `extra` bytes,
 * borrowed until the next call. */
void *dt_nl_msg(struct dt_nl *nl, uint16_t type, uint16_t flags, size_t extra);
void dt_nl_put(struct dt_nl *nl, uint16_t type, const void *p, size_t n);
void dt_nl_u32(struct dt_nl *nl, uint16_t type, uint32_t v);
void dt_nl_be32(struct dt_nl *nl, uint16_t type, uint32_t v);
void dt_nl_strz(struct dt_nl *nl, uint16_t type, const char *z);
/* Appends n zeroed bytes inside the current nest (a header that some attributes begin with). */
void *dt_nl_raw(struct dt_nl *nl, size_t n);
void dt_nl_nest(struct dt_nl *nl, uint16_t type);
void dt_nl_end(struct dt_nl *nl);

/* Sends what was built, the last message with NLM_F_ACK (in a batch that is up to the caller), and
 * waits until the last sequence number is answered. The first error of any message is reported:
 * err->sys_errno is the kernel's, the text its own explanation. */
int dt_nl_talk(struct dt_nl *nl, struct dt_err *err) DT_MUST_CHECK;

/* One message of a dump; borrowed for the call. */
typedef void dt_nl_each(void *ctx, const struct nlmsghdr *h);
/* Sends the one message that was built, with NLM_F_DUMP, and hands what comes back to `each`. */
int dt_nl_dump(struct dt_nl *nl, dt_nl_each *each, void *ctx, struct dt_err *err) DT_MUST_CHECK;

#endif
