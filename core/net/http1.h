/*
 * HTTP/1 messages: finds and checks heads (llhttp does the grammar, this does what it leaves open)
 * and takes bodies apart. No I/O. Used by the server and the client alike.
 */
#ifndef DT_HTTP1_H
#define DT_HTTP1_H

#include <llhttp.h>

#include "net/http_server.h"

/* Where the search for a head's end stands. Zeroed before each message. */
struct dt_http1_scan {
    size_t at;    /* searched so far */
    size_t line;  /* where the current line begins */
    size_t lines; /* complete lines, the first one included */
};

/* Searches p[0..n) for the blank line, going on where the last call stopped (p holds the same bytes
 * and more). Returns the head's length with the blank line, 0 when it is not complete, -1 when it
 * can never become a head: a bare LF, a folded line (BAD_REQUEST), too many bytes or lines
 * (TOO_LARGE). */
ssize_t dt_http1_scan(struct dt_http1_scan *s, const char *p, size_t n, struct dt_err *err);

/* Views into the bytes that were parsed. */
struct dt_http1_head {
    struct dt_str method;
    struct dt_str target; /* requests; origin form unless CONNECT or `*` */
    struct dt_str host;
    struct dt_str reason;
    int status; /* answers */
    int minor;  /* HTTP/1.minor */
    struct dt_http_header *headers;
    size_t nheaders;
    uint64_t length; /* UINT64_MAX: chunked, or until the end for answers without a length */
    bool chunked;
    bool keep_alive;
    bool upgrade; /* has Upgrade and `Connection: upgrade` */
    bool expect;  /* 100-continue */
};

struct dt_http1 {
    llhttp_t parser;
    struct dt_http1_head *head; /* while one is parsed */
    /* Returns false to stop behind these bytes. */
    bool (*on_body)(void *ctx, const char *p, size_t n);
    void *ctx;
    size_t overhead; /* bytes of chunk extensions and trailers so far */
    bool no_body;
    bool complete;
};

/* Parses a whole head of n bytes as found by dt_http1_scan(). `headers` has room for
 * DT_HTTP_HEADERS_MAX or, when that is less, for one per line. The bytes may be changed (an
 * absolute target is reduced in place). Fails with BAD_REQUEST, or TOO_LARGE for too many headers.
 */
int dt_http1_request(struct dt_http1 *x, char *p, size_t n, struct dt_http_header *headers,
                     struct dt_http1_head *ret, struct dt_err *err) DT_MUST_CHECK;
/* `to_head`: the answer to a HEAD request, which has no body. */
int dt_http1_answer(struct dt_http1 *x, char *p, size_t n, bool to_head,
                    struct dt_http_header *headers, struct dt_http1_head *ret,
                    struct dt_err *err) DT_MUST_CHECK;

/* Takes the bytes behind the head; x->on_body gets what is in them. Returns how many belong to the
 * message; fewer than n when it is complete (x->complete) or on_body said false. n may be 0. -1
 * when the framing is broken. */
ssize_t dt_http1_body(struct dt_http1 *x, const char *p, size_t n, struct dt_err *err);
/* The stream ended: whether the message is complete with that. */
bool dt_http1_ended(struct dt_http1 *x);

/* Whether a comma-separated header value holds the token, ignoring case. */
bool dt_http1_has_token(struct dt_str list, const char *token);
bool dt_http1_is_token(struct dt_str s);
/* Whether the value may stand in a header: no CR, LF, NUL. */
bool dt_http1_is_value(struct dt_str s);

#endif
