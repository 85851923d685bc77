/*
 * The audit log as a chain of records. An action has two: one from before it, one from after it.
 * No record ever changes: each holds the hash of the one before it, and its own over that and all
 * that it says. So what is altered, exchanged, put in or taken out shows. A seal is the place and
 * the hash of one end of the chain under a key that is kept elsewhere, so that a cut end shows too.
 */
#ifndef DT_AUDIT_MODEL_H
#define DT_AUDIT_MODEL_H

#include <stdint.h>

#include "model/token.h"

/* What a record says in text, in the order of the store's columns. */
enum dt_audit_text {
    DT_AUDIT_ID,
    DT_AUDIT_ACTOR, /* a user's id, or the name of a service */
    DT_AUDIT_EMAIL,
    DT_AUDIT_KEY_PREFIX,
    DT_AUDIT_KEY_SUFFIX,
    DT_AUDIT_ORG,
    DT_AUDIT_ACTION,
    DT_AUDIT_TARGET_TYPE,
    DT_AUDIT_TARGET, /* its id; in the record from after the action when it was made by it */
    DT_AUDIT_ADDRESS,
    DT_AUDIT_AGENT,
    DT_AUDIT_SOURCE,
    DT_AUDIT_METADATA, /* a JSON object */
    DT_AUDIT_ERROR,
    DT_AUDIT_TEXTS,
};

struct dt_audit_record {
    int64_t seq;    /* 1, 2, 3 ... */
    int64_t begin;  /* from after an action: the seq of that from before it; else 0 */
    int64_t at_ms;  /* since 1970 */
    int64_t status; /* from after an action: of HTTP; else -1 */
    const char *texts[DT_AUDIT_TEXTS]; /* NULL: nothing is said */
};

/* The hash of a record that follows one with the hash `before` (all zeros: it is the first). */
void dt_audit_hash(const uint8_t before[DT_HASH_SIZE], const struct dt_audit_record *r,
                   uint8_t out[DT_HASH_SIZE]);
/* The seal of the end called `name`. */
void dt_audit_seal(const uint8_t key[DT_SECRET_SIZE], const char *name, int64_t seq,
                   const uint8_t hash[DT_HASH_SIZE], uint8_t out[DT_HASH_SIZE]);

/* The action of a record that says: the seals did not fit what was found. */
#define DT_AUDIT_BROKEN "audit_seal_broken"

#endif
