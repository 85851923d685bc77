/* Name look-up for outgoing connections, with the C library's resolver in libuv's thread pool.
 * Linked only by programs that need it; without it dt_conn_connect() knows addresses and
 * `localhost`. */
#ifndef DT_DNS_H
#define DT_DNS_H

void dt_dns_enable(void);

#endif
