/*
 * How much of cpu, memory and disk the sandboxes of each organization take together. Whoever wants
 * more for one asks here first, before anything is made: so no quota is ever passed, however many
 * ask at once. Any thread.
 */
#ifndef DT_HOLDINGS_H
#define DT_HOLDINGS_H

#include "base/rand.h"
#include "model/create.h"

struct dt_holdings;

int dt_holdings_new(struct dt_holdings **ret, struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine. Returns NULL. */
struct dt_holdings *dt_holdings_free(struct dt_holdings *h);
DT_DEFINE_AUTO(struct dt_holdings *, dt_holdings_free)

/* The holder of *mine has *want from now on, or nothing has changed: BAD_REQUEST names the first
 * amount that grows above the organization's quota `most`; NOMEM. */
int dt_holdings_try(struct dt_holdings *h, const char *org, struct dt_resources *mine,
                    const struct dt_resources *want, const struct dt_resources *most,
                    struct dt_err *err) DT_MUST_CHECK;
/* The same without a question: it is so already. Without memory for a new organization *mine stays
 * as it is. */
void dt_holdings_set(struct dt_holdings *h, const char *org, struct dt_resources *mine,
                     const struct dt_resources *want);
struct dt_resources dt_holdings_of(struct dt_holdings *h, const char *org);

#endif
