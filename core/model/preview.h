/* Hosts of previews: `{port}-{sandbox id or token}.{domain}`. */
#ifndef DT_PREVIEW_H
#define DT_PREVIEW_H

#include <stdint.h>

#include "base/err.h"
#include "base/rand.h"
#include "base/str.h"

enum { DT_SIGNED_TOKEN_LEN = 16 };

enum dt_preview_kind {
    DT_PREVIEW_NONE,    /* not below the domain: 421 */
    DT_PREVIEW_DOMAIN,  /* the domain itself */
    DT_PREVIEW_SANDBOX, /* a sandbox by its id */
    DT_PREVIEW_SIGNED,  /* by a signed token */
    DT_PREVIEW_BAD,     /* below the domain but no preview */
};

struct dt_preview_host {
    uint16_t port;            /* 1..65535 */
    char label[DT_UUID_SIZE]; /* the id or the token, lower case */
};

/* `host` is a Host header's value, `domain` may hold a port; both ports are ignored, letters
 * compare without case. Ports are digits without sign or leading zero, so that each has one
 * spelling. */
enum dt_preview_kind dt_preview_parse(struct dt_str host, struct dt_str domain,
                                      struct dt_preview_host *out);
/* A host without `:port`; brackets of IPv6 literals stay. */
struct dt_str dt_host_name(struct dt_str host);
/* Ports that a public sandbox does not open to everybody: toolbox, terminal, ssh, recordings. */
bool dt_preview_port_internal(uint16_t port);
/* The same spelling rule for a port in a path: INVALID otherwise. */
int dt_port_parse(struct dt_str text, uint16_t *ret, struct dt_err *err) DT_MUST_CHECK;

#endif
