#include "net/tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "net/conn_impl.h"

struct dt_tls {
    SSL *ssl;
    BIO *in;  /* from the network */
    BIO *out; /* to the network */
    char host[256];
};

static SSL_CTX *context; /* one for the process; read only once made */

static int tls_error(struct dt_err *err, const struct dt_tls *t, const char *what)
{
    char text[160] = "unknown error";
    unsigned long code = ERR_get_error();
    long verify = t->ssl != NULL ? SSL_get_verify_result(t->ssl) : X509_V_OK;
    if (verify != X509_V_OK)
        (void)dt_err_set(err, DT_E_UNREACHABLE, "%s with %s: the certificate is not trusted: %s",
                         what, t->host, X509_verify_cert_error_string(verify));
    else {
        if (code != 0)
            ERR_error_string_n(code, text, sizeof(text));
        (void)dt_err_set(err, DT_E_UNREACHABLE, "%s with %s: %s", what, t->host, text);
    }
    ERR_clear_error();
    return -1;
}

static int make_context(void)
{
    if (context != NULL)
        return 0;
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    if (c == NULL)
        return -1;
    static const unsigned char alpn[] = "\x08http/1.1";
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_default_verify_paths(c) != 1 ||
        SSL_CTX_set_alpn_protos(c, alpn, sizeof(alpn) - 1) != 0) {
        SSL_CTX_free(c);
        return -1;
    }
    context = c;
    return 0;
}

static void tls_free(struct dt_tls *t)
{
    SSL_free(t->ssl); /* and both BIOs */
    free(t);
}

/* An address is checked against the certificate's addresses; only names are sent as SNI. */
static int set_host(const struct dt_tls *t)
{
    unsigned char bytes[16];
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    if (inet_pton(AF_INET, t->host, bytes) == 1 || inet_pton(AF_INET6, t->host, bytes) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(param, t->host) == 1 ? 0 : -1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_host(param, t->host, 0) != 1 ||
        SSL_set_tlsext_host_name(t->ssl, t->host) != 1)
        return -1;
    return 0;
}

static struct dt_tls *tls_start(const char *host, struct dt_err *err)
{
    struct dt_tls *t = calloc(1, sizeof(*t));
    size_t n = strlen(host);
    if (t == NULL || n >= sizeof(t->host)) {
        free(t);
        (void)dt_err_set(err, t == NULL ? DT_E_NOMEM : DT_E_INVALID, "TLS with '%s'", host);
        return NULL;
    }
    memcpy(t->host, host, n + 1);
    if (make_context() < 0 || (t->ssl = SSL_new(context)) == NULL) {
        (void)tls_error(err, t, "TLS");
        tls_free(t);
        return NULL;
    }
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (t->in == NULL || t->out == NULL || set_host(t) < 0) {
        BIO_free(t->in);
        BIO_free(t->out);
        (void)tls_error(err, t, "TLS");
        tls_free(t);
        return NULL;
    }
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_connect_state(t->ssl);
    return t;
}

static int tls_feed(struct dt_tls *t, const char *p, size_t n, struct dt_err *err)
{
    if (n > INT_MAX || BIO_write(t->in, p, (int)n) != (int)n)
        return dt_err_set(err, DT_E_NOMEM, "TLS with %s", t->host);
    return 0;
}

static bool wants_more(const struct dt_tls *t, int r)
{
    int e = SSL_get_error(t->ssl, r);
    return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE;
}

static int tls_handshake(struct dt_tls *t, struct dt_err *err)
{
    ERR_clear_error();
    int r = SSL_do_handshake(t->ssl);
    if (r == 1)
        return 1;
    return wants_more(t, r) ? 0 : tls_error(err, t, "TLS handshake");
}

static ssize_t tls_read(struct dt_tls *t, char *p, size_t n, bool *eof, struct dt_err *err)
{
    size_t got = 0;
    ERR_clear_error();
    int r = SSL_read_ex(t->ssl, p, n, &got);
    if (r == 1)
        return (ssize_t)got;
    if (SSL_get_error(t->ssl, r) == SSL_ERROR_ZERO_RETURN) {
        *eof = true;
        return 0;
    }
    return wants_more(t, r) ? 0 : tls_error(err, t, "TLS read");
}

static int tls_write(struct dt_tls *t, const char *p, size_t n, struct dt_err *err)
{
    while (n > 0) {
        size_t done = 0;
        ERR_clear_error();
        if (SSL_write_ex(t->ssl, p, n, &done) != 1)
            return tls_error(err, t, "TLS write");
        p += done;
        n -= done;
    }
    return 0;
}

static void tls_shutdown(struct dt_tls *t)
{
    ERR_clear_error();
    (void)SSL_shutdown(t->ssl);
}

static size_t tls_output(struct dt_tls *t, char *p, size_t n)
{
    int r = BIO_read(t->out, p, n > INT_MAX ? INT_MAX : (int)n);
    return r > 0 ? (size_t)r : 0;
}

void dt_tls_enable(void)
{
    static const struct dt_tls_ops ops = {
        .start = tls_start,
        .free = tls_free,
        .feed = tls_feed,
        .handshake = tls_handshake,
        .read = tls_read,
        .write = tls_write,
        .shutdown = tls_shutdown,
        .output = tls_output,
    };
    dt_conn_tls_ops = &ops;
}
