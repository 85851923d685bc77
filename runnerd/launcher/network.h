/*
 * The network of all sandboxes, as the launcher keeps it: opened when it starts or, when the host
 * could not give one then, as soon as it can. Until then that is tried again by the clock, with
 * growing pauses, and whenever a sandbox needs it; nothing waits meanwhile.
 *
 * When it comes late, sandboxes of an earlier launcher get their rules back. Those that were made
 * without a network have none until their next start; what was made ahead is made anew.
 */
#ifndef DT_LAUNCHER_NETWORK_H
#define DT_LAUNCHER_NETWORK_H

#include "base/err.h"
#include "runnerd/launcher/loop.h"
#include "runnerd/launcher/record.h"

struct dt_launcher;
struct dt_sandbox;

struct dt_network {
    uint64_t rate;               /* bytes a second of each sandbox; 0 = no limit */
    char why[256];               /* there is none; empty when there is one */
    uint64_t tried_ms, pause_ms; /* when it was tried last, and until it is tried next */
    struct dt_watch guard;
    struct dt_timer timer;
};

/* At the start. A host that has none is no failure. */
void dt_network_open(struct dt_launcher *l, uint64_t rate);
/* Looks after it from now on. */
int dt_network_watch(struct dt_launcher *l, struct dt_err *err) DT_MUST_CHECK;
void dt_network_unwatch(struct dt_launcher *l);

/* Before a sandbox is made or started: false when its spec needs a network and there is still none;
 * l->network.why says why. */
bool dt_network_serves(struct dt_launcher *l, const struct dt_lw_spec *spec);
/* Gives a running sandbox the rules of s->spec. Fails UNAVAILABLE without a network, SYSTEM when
 * only its next start can give it one: then it has the rules that it had. */
int dt_network_change(struct dt_launcher *l, struct dt_sandbox *s,
                      struct dt_err *err) DT_MUST_CHECK;
/* The rules that an earlier launcher gave to a sandbox. One that has lost its network lives on. */
void dt_network_adopt(struct dt_launcher *l, struct dt_sandbox *s, const struct dt_record *r);
/* What HELLO and NETWORK_UP say. */
void dt_network_tell(const struct dt_launcher *l, struct dt_lw_answer *a);

#endif
