/* Which DNS server the host itself asks. */
#ifndef DT_HOST_RESOLVER_H
#define DT_HOST_RESOLVER_H

#include <stdint.h>

#include "base/str.h"

/* The first `nameserver` with an IPv4 address that is not loopback, in host byte order; else 0. */
uint32_t dt_host_resolver_parse(struct dt_str resolv_conf);
/* As above, of /etc/resolv.conf, else of the file where systemd-resolved lists the real servers. */
uint32_t dt_host_resolver(void);

#endif
