/* The JSON of images: OCI index, manifest and configuration, and docker save's manifest.json. */
#ifndef DT_MANIFEST_H
#define DT_MANIFEST_H

#include "oci/archive.h"
#include "oci/image.h"

enum {
    DT_MANIFEST_BYTES_MAX = 4 << 20, /* of any of these documents */
    DT_MANIFEST_ENTRIES_MAX = 1024,  /* of an index */
    DT_MANIFEST_STRINGS_MAX = 1024,  /* of env, entrypoint or cmd */
    DT_MANIFEST_STRING_MAX = 128 << 10,
};

struct dt_manifest_desc {
    char digest[DT_DIGEST_SIZE]; /* sha256, without the prefix */
    uint64_t size;
    bool is_index; /* names a further index */
};

struct dt_manifest {
    struct dt_manifest_desc config;
    struct dt_manifest_desc layers[DT_IMAGE_LAYERS_MAX];
    size_t nlayers;
};

struct dt_manifest_docker {
    char config[DT_ARCHIVE_NAME_MAX + 1];
    char layers[DT_IMAGE_LAYERS_MAX][DT_ARCHIVE_NAME_MAX + 1];
    size_t nlayers;
};

struct dt_manifest_config {
    char diff_ids[DT_IMAGE_LAYERS_MAX][DT_DIGEST_SIZE];
    size_t nlayers;
    char *json; /* owned: what dt_image.config_json holds */
};

/* "amd64" or "arm64": this machine's, in the images' words. */
const char *dt_manifest_arch(void);

/* Picks the one entry for linux and this machine. INVALID when there is none or more than one. */
int dt_manifest_index_parse(struct dt_str text, struct dt_manifest_desc *ret,
                            struct dt_err *err) DT_MUST_CHECK;
/* UNSUPPORTED for schema 1, artifacts, and layers that are foreign or encrypted. */
int dt_manifest_parse(struct dt_str text, struct dt_manifest *ret,
                      struct dt_err *err) DT_MUST_CHECK;
/* manifest.json with one image; names are relative and without "..". */
int dt_manifest_docker_parse(struct dt_str text, struct dt_manifest_docker *ret,
                             struct dt_err *err) DT_MUST_CHECK;
/* UNSUPPORTED for another machine or system. The caller frees ret->json. */
int dt_manifest_config_parse(struct dt_str text, struct dt_manifest_config *ret,
                             struct dt_err *err) DT_MUST_CHECK;
/* config_json of an image that has none; the caller frees it. NULL without memory. */
char *dt_manifest_config_empty(void);

#endif
