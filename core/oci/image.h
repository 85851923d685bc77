/*
 * Images that become layers of the data directory: an OCI layout (tar or folder), what `docker
 * save` writes, or the tar of a root file system; the file may be compressed with gzip or zstd.
 *
 * What is trusted: this process reads the JSON (bounded, digests verified), moves bytes and
 * computes every digest. Whatever parses a tar or compressed stream runs in a process of dt_jail. A
 * layer appears under its chain id only when the digests of its blob and of its tar are right and
 * all of it is on disk; an interrupted import leaves a `.stage-*` folder that the next one removes.
 */
#ifndef DT_IMAGE_H
#define DT_IMAGE_H

#include <stdint.h>

#include "base/err.h"

enum { DT_IMAGE_LAYERS_MAX = 64 };

struct dt_image {
    char layers[DT_IMAGE_LAYERS_MAX][65]; /* chain ids, lowest first, hexadecimal */
    size_t nlayers;
    uint64_t size_bytes; /* that the layers take on disk */
    uint64_t dropped;    /* devices, fifos and attributes that this import left out */
    char *config_json;   /* {"user":"","env":{},"workdir":"","entrypoint":[],"cmd":[]}, compact */
};

/* Needs root and one thread. Blocks for as long as unpacking takes. Layers that the data directory
 * has already are not unpacked again. CONFLICT while another import into it runs. The folder
 * layers/ is made 0700: what lies below may be setuid root. */
int dt_image_import(int data_dirfd, const char *file, struct dt_image *ret,
                    struct dt_err *err) DT_MUST_CHECK;
void dt_image_done(struct dt_image *image);

#endif
