/*
 * Notices that somebody else removed a table of nf_tables: `nft flush ruleset`, which firewalls do
 * when they start again, removes all that no socket owns.
 */
#ifndef DT_NFT_WATCH_H
#define DT_NFT_WATCH_H

#include <stdbool.h>

#include "base/err.h"

/* A non-blocking descriptor for polling; the caller closes it. -1 on failure. It hears of the
 * network namespace that the caller is in. */
int dt_nft_watch_open(struct dt_err *err) DT_MUST_CHECK;
/* Reads all that has come. True when `table` was deleted meanwhile, by us or by others, or when so
 * much happened that the kernel could not tell it all. */
bool dt_nft_watch_read(int fd, const char *table);

#endif
