/*
 * Bytes of a file on their way through a confined decompressor to a sink. This process only moves
 * and hashes them: what it says about digests is its own work, whatever the confined processes do.
 */
#ifndef DT_FLOW_H
#define DT_FLOW_H

#include "oci/digest.h"

enum { DT_FLOW_STALL_MS = 120000 }; /* so long nothing may move */

struct dt_flow_spec {
    int fd;
    uint64_t at, size; /* the part of the file */
    int userns;        /* from dt_jail_userns() */
    uint64_t out_max;  /* bytes after decompression */
    int sink;          /* a stream socket or a regular file; -1 = only the digests are wanted */
};

struct dt_flow_sums {
    char in[DT_DIGEST_SIZE];  /* of the part of the file */
    char out[DT_DIGEST_SIZE]; /* of what came out of the decompressor */
    uint64_t out_bytes;
    bool sink_closed; /* set on failure: the sink's other end went away */
};

/* Blocks until all of it arrived. Errors of the decompressor come through. */
int dt_flow_run(const struct dt_flow_spec *spec, struct dt_flow_sums *ret,
                struct dt_err *err) DT_MUST_CHECK;

#endif
