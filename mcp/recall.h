/*
 * What the server of this machine said a moment ago, for as long as nothing has changed since.
 *
 * A question that is asked again soon opens the server's `sandbox-changes`: there the server writes
 * whenever a sandbox changes, before it answers that change to anybody. While that connection is
 * silent (asked of the kernel again for every question), a kept answer is what the server would say
 * now. After a second it is asked anyway, as it also decides who may ask. Only over a unix socket:
 * elsewhere what was written is not yet there.
 */
#ifndef DT_RECALL_H
#define DT_RECALL_H

#include "json/json.h"
#include "net/http_client.h"

struct dt_recall;

/* What one receiver of an answer made of it, for the next ones. `key` names the maker. */
struct dt_memo {
    const void *key;
    struct dt_buf text;
};

/* Aborts without memory. */
struct dt_recall *dt_recall_new(uv_loop_t *loop);
/* The memory goes when the loop ran once more. Returns NULL. */
struct dt_recall *dt_recall_free(struct dt_recall *r);

/* The kept answer to a GET of `target`, or NULL. Borrowed until the loop goes on; the memo may be
 * filled. */
json_t *dt_recall_get(struct dt_recall *r, struct dt_str target, struct dt_memo **memo);
/* Before `target` is asked of the server behind `http` (whose paths begin with `base`): returns a
 * mark for dt_recall_keep(). */
uint64_t dt_recall_ask(struct dt_recall *r, struct dt_http_client *http, const char *base,
                       struct dt_str target);
/* The answer of `size` bytes came. Takes a reference, if nothing has changed since `mark` and it is
 * not larger than 64 KiB. */
void dt_recall_keep(struct dt_recall *r, struct dt_str target, uint64_t mark, json_t *answer,
                    size_t size);
/* Something was heard from the server: whether it is silent otherwise must be asked again. */
void dt_recall_stir(struct dt_recall *r);
/* There is another server now. */
void dt_recall_forget(struct dt_recall *r);

#endif
