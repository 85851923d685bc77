/* Reads the whole audit log and says what does not fit. */
#ifndef DT_AUDIT_VERIFY_H
#define DT_AUDIT_VERIFY_H

#include "db/conn.h"
#include "model/audit.h"

/* A record whose hash is known from elsewhere. */
struct dt_audit_mark {
    int64_t seq; /* 0: none is */
    uint8_t hash[DT_HASH_SIZE];
};

struct dt_audit_report {
    int64_t first, last; /* of the records that are there; 0: there is none */
    int64_t records;
    uint8_t hash[DT_HASH_SIZE]; /* of the last one */
    int64_t problems;
};

enum { DT_AUDIT_PROBLEMS_MAX = 100 }; /* told one by one */

/* `tell` gets a sentence about each problem. `key` is that of the seals. -1: it cannot be read. */
int dt_audit_verify(struct dt_db_conn *c, const uint8_t key[DT_SECRET_SIZE],
                    const struct dt_audit_mark *mark, void (*tell)(void *ctx, const char *what),
                    void *ctx, struct dt_audit_report *ret, struct dt_err *err) DT_MUST_CHECK;

#endif
