/* The JSON documents of images: each input is read as every one of them. */
#include <stdint.h>

#include "oci/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_str text = dt_str((const char *)data, size);
    struct dt_err err;
    struct dt_manifest_desc desc;
    struct dt_manifest manifest;
    struct dt_manifest_config config;
    DT_AUTO_FREE struct dt_manifest_docker *docker = calloc(1, sizeof(*docker));
    if (docker == NULL)
        return 0;
    if (dt_manifest_index_parse(text, &desc, &err) == 0 && !dt_is_digest(dt_str_z(desc.digest)))
        abort();
    if (dt_manifest_parse(text, &manifest, &err) == 0)
        for (size_t i = 0; i < manifest.nlayers; i++)
            if (!dt_is_digest(dt_str_z(manifest.layers[i].digest)))
                abort();
    if (dt_manifest_docker_parse(text, docker, &err) == 0)
        for (size_t i = 0; i < docker->nlayers; i++)
            if (docker->layers[i][0] == '\0' || docker->layers[i][0] == '/')
                abort();
    if (dt_manifest_config_parse(text, &config, &err) == 0) {
        if (config.nlayers > DT_IMAGE_LAYERS_MAX || config.json == NULL)
            abort();
        free(config.json);
    }
    return 0;
}
