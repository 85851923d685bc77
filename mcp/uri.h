/*
 * Resource names: `sandbox://{id}/{+path}[?offset=N&length=M]`. What follows the slash is the
 * absolute path in the sandbox, percent-encoded where needed: sandbox://ID/tmp/a.txt is /tmp/a.txt.
 * With `~/` in front it starts at the home folder, as relative paths of the tools do:
 * sandbox://ID/~/a.txt. A '?' in a path must be written %3F. A directory reads as its listing.
 */
#ifndef DT_URI_H
#define DT_URI_H

#include <stdint.h>

#include "base/buf.h"

#define DT_URI_TEMPLATE "sandbox://{id}/{+path}"

enum {
    DT_URI_PAGE = 64 * 1024,       /* bytes that one read gives when no length is named */
    DT_URI_PAGE_MAX = 1024 * 1024, /* and at most */
};

struct dt_uri {
    char *id;
    char *path; /* absolute, or ./relative to the home folder */
    uint64_t offset;
    uint64_t length;
};
void dt_uri_done(struct dt_uri *u);
/* INVALID names what is wrong. */
int dt_uri_parse(const char *text, struct dt_uri *ret, struct dt_err *err) DT_MUST_CHECK;
int dt_uri_print(struct dt_buf *out, const char *id, const char *path,
                 struct dt_err *err) DT_MUST_CHECK;

#endif
