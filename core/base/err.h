/* One error value for every layer: what a caller may branch on, and what a person reads. */
#ifndef DT_ERR_H
#define DT_ERR_H

#include "base/auto.h"
#include "gen/errors.h" /* DT_ERR_TABLE(X), generated from schemas/errors.json */

/* Each row of the table is X(name, wire string, HTTP status, JSON-RPC code). */
enum dt_err_code {
    DT_OK = 0,
#define X(name, wire, http, rpc) DT_E_##name,
    DT_ERR_TABLE(X)
#undef X
};

/* Lives on the caller's stack: reporting an error never allocates, so it cannot fail. */
struct dt_err {
    enum dt_err_code code;
    int sys_errno;
    char msg[512];
};

/* Fills *err (NULL allowed) and returns -1, so that failing is one statement. */
int dt_err_set(struct dt_err *err, enum dt_err_code code, const char *fmt, ...) DT_PRINTF(3, 4);
/* As above with code SYSTEM and errno's text appended; keeps errno in sys_errno. */
int dt_err_errno(struct dt_err *err, const char *fmt, ...) DT_PRINTF(2, 3);
/* Puts "fmt: " before the message on the way up; returns -1. */
int dt_err_wrap(struct dt_err *err, const char *fmt, ...) DT_PRINTF(2, 3);

/* What an analyzer cannot see, since it looks at one file at a time. */
#if defined(__clang_analyzer__) || defined(DT_ANALYZE)
#define dt_err_set(...)   (dt_err_set(__VA_ARGS__), -1)
#define dt_err_errno(...) (dt_err_errno(__VA_ARGS__), -1)
#define dt_err_wrap(...)  (dt_err_wrap(__VA_ARGS__), -1)
#endif

/* The word that goes over the wire; API: never renamed. */
const char *dt_err_wire(enum dt_err_code code);
int dt_err_http(enum dt_err_code code);
int dt_err_rpc(enum dt_err_code code);

#endif
