#include "oci/image.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "oci/manifest.h"
#include "oci/store.h"

enum { INDEX_DEPTH_MAX = 3 };

struct import {
    struct dt_store store;
    struct dt_archive *archive;
    struct dt_image *image;
};

/* chain(1) = diff(1); chain(n) = sha256("sha256:chain(n-1) sha256:diff(n)") */
static int chain_id(const char *below, const char *diff_id, char out[DT_DIGEST_SIZE],
                    struct dt_err *err)
{
    char text[2 * (7 + DT_DIGEST_SIZE)];
    if (below == NULL) {
        memcpy(out, diff_id, DT_DIGEST_SIZE);
        return 0;
    }
    (void)snprintf(text, sizeof(text), "sha256:%s sha256:%s", below, diff_id);
    return dt_digest_of(dt_str_z(text), out, err);
}

/* Puts one layer on top of those that the image has. */
static int add_layer(struct import *m, struct dt_store_layer *l, struct dt_err *err)
{
    struct dt_image *image = m->image;
    char *chain = image->layers[image->nlayers];
    const char *below = image->nlayers > 0 ? image->layers[image->nlayers - 1] : NULL;
    struct dt_layer_stats stats = {0};
    uint64_t size = 0;
    if (chain_id(below, l->diff_id, chain, err) < 0)
        return -1;
    l->chain = chain;
    l->has_lower = below != NULL;
    if (!dt_store_has(&m->store, chain) && dt_store_add(&m->store, l, &stats, err) < 0)
        return dt_err_wrap(err, "layer %zu", image->nlayers + 1);
    if (dt_store_size(&m->store, chain, &size, err) < 0)
        return -1;
    image->size_bytes += size;
    image->dropped += stats.devices + stats.xattrs;
    image->nlayers++;
    return 0;
}

static void blob_name(const char *digest, char out[DT_ARCHIVE_NAME_MAX + 1])
{
    (void)snprintf(out, DT_ARCHIVE_NAME_MAX + 1, "blobs/sha256/%s", digest);
}

/* A document whose digest and size are known. */
static int read_blob(const struct import *m, const struct dt_manifest_desc *d, struct dt_buf *out,
                     struct dt_err *err)
{
    char name[DT_ARCHIVE_NAME_MAX + 1];
    char sum[DT_DIGEST_SIZE];
    blob_name(d->digest, name);
    dt_buf_clear(out);
    if (dt_archive_read(m->archive, name, out, err) < 0 ||
        dt_digest_of(dt_buf_str(out), sum, err) < 0)
        return -1;
    if (out->n != d->size || strcmp(sum, d->digest) != 0)
        return dt_err_set(err, DT_E_INVALID,
                          "'%s' has another size or digest than its name says; "
                          "the archive is damaged",
                          name);
    return 0;
}

static int read_manifest(const struct import *m, struct dt_manifest *ret, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf text;
    struct dt_manifest_desc d = {0};
    dt_buf_init(&text, DT_MANIFEST_BYTES_MAX);
    if (dt_archive_read(m->archive, "index.json", &text, err) < 0 ||
        dt_manifest_index_parse(dt_buf_str(&text), &d, err) < 0)
        return -1;
    for (unsigned depth = 0; d.is_index; depth++) {
        if (depth == INDEX_DEPTH_MAX)
            return dt_err_set(err, DT_E_INVALID, "image indexes are nested too deep");
        if (read_blob(m, &d, &text, err) < 0 ||
            dt_manifest_index_parse(dt_buf_str(&text), &d, err) < 0)
            return -1;
    }
    return read_blob(m, &d, &text, err) < 0 ? -1 : dt_manifest_parse(dt_buf_str(&text), ret, err);
}

static int take_config(struct import *m, struct dt_str text, size_t nlayers,
                       struct dt_manifest_config *ret, struct dt_err *err)
{
    if (dt_manifest_config_parse(text, ret, err) < 0)
        return -1;
    m->image->config_json = ret->json; /* which frees it from now on */
    if (ret->nlayers != nlayers)
        return dt_err_set(err, DT_E_INVALID, "the image has %zu layers, its configuration %zu",
                          nlayers, ret->nlayers);
    return 0;
}

static int import_oci(struct import *m, struct dt_err *err)
{
    struct dt_manifest manifest = {0};
    struct dt_manifest_config config = {0};
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, DT_MANIFEST_BYTES_MAX);
    if (read_manifest(m, &manifest, err) < 0 || read_blob(m, &manifest.config, &text, err) < 0 ||
        take_config(m, dt_buf_str(&text), manifest.nlayers, &config, err) < 0)
        return -1;
    for (size_t i = 0; i < manifest.nlayers; i++) {
        const struct dt_manifest_desc *d = &manifest.layers[i];
        char name[DT_ARCHIVE_NAME_MAX + 1];
        DT_AUTO_BLOB struct dt_blob blob = {.fd = -1};
        blob_name(d->digest, name);
        if (dt_archive_find(m->archive, name, &blob, err) < 0)
            return -1;
        if (blob.size != d->size)
            return dt_err_set(err, DT_E_INVALID, "'%s' has %llu bytes, but the manifest says %llu",
                              name, (unsigned long long)blob.size, (unsigned long long)d->size);
        struct dt_store_layer l = {
            .blob = blob, .digest = d->digest, .diff_id = config.diff_ids[i]};
        if (add_layer(m, &l, err) < 0)
            return -1;
    }
    return 0;
}

/* The digest that a name promises: 64 digits as its last part, with or without an ending. */
static const char *digest_in_name(const char *name, char out[DT_DIGEST_SIZE])
{
    const char *slash = strrchr(name, '/');
    const char *part = slash != NULL ? slash + 1 : name;
    struct dt_str stem = dt_str(part, strcspn(part, "."));
    if (!dt_is_digest(stem))
        return NULL;
    memcpy(out, stem.p, stem.n);
    out[stem.n] = '\0';
    return out;
}

static int read_docker_config(const struct import *m, const char *name, struct dt_buf *out,
                              struct dt_err *err)
{
    char want[DT_DIGEST_SIZE];
    char sum[DT_DIGEST_SIZE];
    if (dt_archive_read(m->archive, name, out, err) < 0 ||
        dt_digest_of(dt_buf_str(out), sum, err) < 0)
        return -1;
    if (digest_in_name(name, want) != NULL && strcmp(want, sum) != 0)
        return dt_err_set(err, DT_E_INVALID,
                          "'%s' has another digest than its name says; the "
                          "archive is damaged",
                          name);
    return 0;
}

static int import_docker(struct import *m, struct dt_err *err)
{
    DT_AUTO_FREE struct dt_manifest_docker *manifest = calloc(1, sizeof(*manifest));
    struct dt_manifest_config config = {0};
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, DT_MANIFEST_BYTES_MAX);
    if (manifest == NULL)
        return dt_err_set(err, DT_E_NOMEM, "manifest.json");
    if (dt_archive_read(m->archive, "manifest.json", &text, err) < 0 ||
        dt_manifest_docker_parse(dt_buf_str(&text), manifest, err) < 0)
        return -1;
    dt_buf_clear(&text);
    if (read_docker_config(m, manifest->config, &text, err) < 0 ||
        take_config(m, dt_buf_str(&text), manifest->nlayers, &config, err) < 0)
        return -1;
    for (size_t i = 0; i < manifest->nlayers; i++) {
        DT_AUTO_BLOB struct dt_blob blob = {.fd = -1};
        if (dt_archive_find(m->archive, manifest->layers[i], &blob, err) < 0)
            return -1;
        /* Layers' names hold ids of several kinds; the configuration's digest of the tar decides.
         */
        struct dt_store_layer l = {.blob = blob, .diff_id = config.diff_ids[i]};
        if (add_layer(m, &l, err) < 0)
            return -1;
    }
    return 0;
}

static int import_rootfs(struct import *m, struct dt_err *err)
{
    char diff_id[DT_DIGEST_SIZE];
    DT_AUTO_BLOB struct dt_blob blob = {.fd = -1};
    if (dt_archive_whole(m->archive, &blob, err) < 0 ||
        dt_digest_of_file(blob.fd, 0, blob.size, diff_id, err) < 0)
        return -1;
    struct dt_store_layer l = {.blob = blob, .diff_id = diff_id, .need_end = true};
    if ((m->image->config_json = dt_manifest_config_empty()) == NULL)
        return dt_err_set(err, DT_E_NOMEM, "image configuration");
    return add_layer(m, &l, err);
}

static int import_any(struct import *m, struct dt_err *err)
{
    switch (dt_archive_kind(m->archive)) {
    case DT_ARCHIVE_OCI:
        return import_oci(m, err);
    case DT_ARCHIVE_DOCKER:
        return import_docker(m, err);
    case DT_ARCHIVE_ROOTFS:
        break;
    }
    return import_rootfs(m, err);
}

int dt_image_import(int data_dirfd, const char *file, struct dt_image *ret, struct dt_err *err)
{
    struct dt_image image = {0};
    DT_AUTO_STORE struct dt_store store = {-1, -1, -1};
    DT_AUTO(dt_archive_free) struct dt_archive *archive = NULL;
    if (dt_store_open(data_dirfd, &store, err) < 0 ||
        dt_archive_open(file, store.dir, store.userns, &archive, err) < 0)
        return -1;
    struct import m = {.store = store, .archive = archive, .image = &image};
    if (import_any(&m, err) < 0) {
        dt_image_done(&image);
        return -1;
    }
    *ret = image;
    return 0;
}

void dt_image_done(struct dt_image *image)
{
    free(image->config_json);
    *image = (struct dt_image){0};
}
