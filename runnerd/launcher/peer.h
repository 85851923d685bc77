/* daytona-runnerd's end of the door: one peer at a time, frames of wire.h. */
#ifndef DT_LAUNCHER_PEER_H
#define DT_LAUNCHER_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "runnerd/launcher/loop.h"
#include "runnerd/launcher/wire.h"

struct dt_launcher;
struct dt_peer_out;

/* An answer is owed to the peer that asked; to nobody when that one has gone (`peer` differs). */
struct dt_asked {
    uint64_t peer;
    uint64_t seq; /* 0: nobody waits */
    uint32_t op;
};

struct dt_peer {
    struct dt_launcher *l;
    uint64_t number; /* of the peers so far */
    bool greeted;
    bool ends_all; /* the launcher ends with this peer */
    struct dt_watch listener, conn;
    uint32_t events;                   /* of conn */
    struct dt_peer_out *first, **last; /* answers that did not fit the socket yet */
    unsigned nout;
    uint8_t (*ids)[16]; /* LIST: the ids found at cursor 0, */
    uint32_t nfolders;  /* first those with a folder, then those in the object store */
    uint32_t nids;
};

/* With a connected descriptor, or a path to listen at. Takes `fd`. */
int dt_peer_connected(struct dt_launcher *l, int fd, struct dt_err *err) DT_MUST_CHECK;
int dt_peer_listen(struct dt_launcher *l, const char *path, struct dt_err *err) DT_MUST_CHECK;
void dt_peer_done(struct dt_launcher *l);

/* Fills in the fields every answer has. `err` NULL = OK. */
void dt_answer_init(struct dt_lw_answer *a, const struct dt_asked *asked, const uint8_t id[16],
                    const struct dt_err *err);
/* Does nothing for an asker that has gone or nobody; clears *asked. */
void dt_peer_answer(struct dt_launcher *l, struct dt_asked *asked, const struct dt_lw_answer *a);
/* The same in short, for answers without more in them. */
void dt_peer_reply(struct dt_launcher *l, struct dt_asked *asked, const uint8_t id[16],
                   const struct dt_err *err);
/* With descriptors, which stay the caller's. When they cannot be sent at once the answer is BUSY,
 * without them. */
void dt_peer_answer_fds(struct dt_launcher *l, struct dt_asked *asked, struct dt_lw_answer *a,
                        const int *fds, unsigned n);
void dt_peer_event(struct dt_launcher *l, const struct dt_lw_answer *a);

#endif
