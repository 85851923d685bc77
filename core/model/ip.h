/* IP addresses and networks in text, both versions: IPv4 is kept as ::ffff:a.b.c.d (RFC 4291). */
#ifndef DT_IP_H
#define DT_IP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct dt_ip {
    uint8_t b[16];
};
struct dt_ip_net {
    struct dt_ip ip;
    unsigned prefix; /* of 128 bits */
};

enum { DT_IP_TEXT_SIZE = 46, DT_IP_NETS_MAX = 16 };

/* `192.0.2.1`, `2001:db8::1`, and both with a port as proxies write them (`192.0.2.1:80`,
 * `[2001:db8::1]:443`), which is dropped. -1: it is none. */
int dt_ip_parse(struct dt_str text, struct dt_ip *ret) DT_MUST_CHECK;
char *dt_ip_text(const struct dt_ip *ip, char out[DT_IP_TEXT_SIZE]);
/* `127.0.0.1, 10.0.0.0/8, ::1/128`: up to DT_IP_NETS_MAX of them; may be empty. INVALID quotes the
 * bad one. */
int dt_ip_nets_parse(struct dt_str text, struct dt_ip_net out[DT_IP_NETS_MAX], size_t *n,
                     struct dt_err *err) DT_MUST_CHECK;
bool dt_ip_within(const struct dt_ip *ip, const struct dt_ip_net *nets, size_t n);

#endif
