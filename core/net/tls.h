/* TLS for outgoing connections, with OpenSSL. Linked only by programs that need it. */
#ifndef DT_TLS_H
#define DT_TLS_H

/* From here on dt_conn_connect() understands `tls`. The peer must show a certificate for its host
 * that the system's authorities signed (SSL_CERT_FILE and SSL_CERT_DIR replace them). TLS 1.2 or
 * newer. Call it once, before the loop runs. */
void dt_tls_enable(void);

#endif
