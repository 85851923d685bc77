#include "oci/manifest.h"

#include "json/json.h"
#include "oci/layer.h"

enum { DEPTH_MAX = 32 };

const char *dt_manifest_arch(void)
{
#if defined(__x86_64__)
    return "amd64";
#else
    return "arm64";
#endif
}

static json_t *parse(struct dt_str text, const char *what, json_type type, struct dt_err *err)
{
    if (text.n > DT_MANIFEST_BYTES_MAX) {
        (void)dt_err_set(err, DT_E_TOO_LARGE, "%s of %zu bytes", what, text.n);
        return NULL;
    }
    json_t *j = dt_json_parse(text, DEPTH_MAX, err);
    if (j == NULL) {
        (void)dt_err_wrap(err, "%s", what);
        return NULL;
    }
    if (json_typeof(j) != type) {
        (void)dt_err_set(err, DT_E_INVALID, "%s is no JSON %s", what,
                         type == JSON_OBJECT ? "object" : "array");
        json_decref(j);
        return NULL;
    }
    return j;
}

/* A string without NUL, or NULL. */
static const char *plain_text(const json_t *j)
{
    const char *z = json_string_value(j);
    return z != NULL && strlen(z) == json_string_length(j) ? z : NULL;
}

static int parse_digest(const char *text, char out[DT_DIGEST_SIZE], struct dt_err *err)
{
    struct dt_str s = dt_str_z(text);
    const struct dt_str prefix = DT_STR("sha256:");
    if (!dt_str_starts(s, prefix) || !dt_is_digest(dt_str(s.p + prefix.n, s.n - prefix.n)))
        return dt_err_set(err, DT_E_INVALID,
                          "'%.100s' is no digest (sha256: and 64 hexadecimal digits)",
                          text == NULL ? "" : text);
    memcpy(out, s.p + prefix.n, DT_DIGEST_SIZE);
    return 0;
}

static int parse_desc(const json_t *j, struct dt_manifest_desc *ret, struct dt_err *err)
{
    int64_t size = dt_json_int(j, "size", -1);
    if (parse_digest(plain_text(json_object_get(j, "digest")), ret->digest, err) < 0)
        return -1;
    if (size < 0 || (uint64_t)size > DT_ARCHIVE_BYTES_MAX)
        return dt_err_set(err, DT_E_INVALID, "sha256:%s: size is missing or out of range",
                          ret->digest);
    ret->size = (uint64_t)size;
    return 0;
}

static bool is_one_of(const char *z, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(z, *list) == 0)
            return true;
    return false;
}

static const char *const index_types[] = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json", NULL};
static const char *const manifest_types[] = {"application/vnd.oci.image.manifest.v1+json",
                                             "application/vnd.docker.distribution.manifest.v2+json",
                                             NULL};
static const char *const config_types[] = {"application/vnd.oci.image.config.v1+json",
                                           "application/vnd.docker.container.image.v1+json", NULL};
static const char *const layer_types[] = {"application/vnd.oci.image.layer.v1.tar",
                                          "application/vnd.oci.image.layer.v1.tar+gzip",
                                          "application/vnd.oci.image.layer.v1.tar+zstd",
                                          "application/vnd.docker.image.rootfs.diff.tar",
                                          "application/vnd.docker.image.rootfs.diff.tar.gzip",
                                          "application/vnd.docker.image.rootfs.diff.tar.zstd",
                                          NULL};

/* Without a platform an entry may be for any machine: the image's configuration will tell. */
static bool fits_platform(const json_t *entry)
{
    const json_t *p = json_object_get(entry, "platform");
    if (!json_is_object(p))
        return true;
    return strcmp(dt_json_text(p, "os", "linux"), "linux") == 0 &&
           strcmp(dt_json_text(p, "architecture", ""), dt_manifest_arch()) == 0;
}

static int pick(const json_t *list, struct dt_manifest_desc *ret, struct dt_err *err)
{
    bool found = false;
    size_t i;
    const json_t *e;
    json_array_foreach(list, i, e)
    {
        struct dt_manifest_desc d = {0};
        const char *type = dt_json_text(e, "mediaType", manifest_types[0]);
        d.is_index = is_one_of(type, index_types);
        if ((!d.is_index && !is_one_of(type, manifest_types)) || !fits_platform(e))
            continue;
        if (parse_desc(e, &d, err) < 0)
            return -1;
        if (found && strcmp(d.digest, ret->digest) != 0)
            return dt_err_set(err, DT_E_INVALID,
                              "the archive holds several images for %s; save one image only",
                              dt_manifest_arch());
        *ret = d;
        found = true;
    }
    return found ? 0
                 : dt_err_set(err, DT_E_UNSUPPORTED, "the archive holds no image for linux/%s",
                              dt_manifest_arch());
}

int dt_manifest_index_parse(struct dt_str text, struct dt_manifest_desc *ret, struct dt_err *err)
{
    DT_AUTO_JSON json_t *j = parse(text, "image index", JSON_OBJECT, err);
    if (j == NULL)
        return -1;
    const json_t *list = json_object_get(j, "manifests");
    if (dt_json_int(j, "schemaVersion", 0) != 2 || !json_is_array(list))
        return dt_err_set(err, DT_E_INVALID, "image index: schemaVersion 2 and manifests expected");
    if (json_array_size(list) > DT_MANIFEST_ENTRIES_MAX)
        return dt_err_set(err, DT_E_LIMIT, "image index with more than %d entries",
                          DT_MANIFEST_ENTRIES_MAX);
    return pick(list, ret, err);
}

static int parse_layer(const json_t *j, struct dt_manifest_desc *ret, struct dt_err *err)
{
    const char *type = dt_json_text(j, "mediaType", "");
    if (!is_one_of(type, layer_types))
        return dt_err_set(err, DT_E_UNSUPPORTED, "layer of type '%.120s'", type);
    if (json_array_size(json_object_get(j, "urls")) > 0)
        return dt_err_set(err, DT_E_UNSUPPORTED, "foreign layer, which is not in the archive");
    return parse_desc(j, ret, err);
}

int dt_manifest_parse(struct dt_str text, struct dt_manifest *ret, struct dt_err *err)
{
    DT_AUTO_JSON json_t *j = parse(text, "image manifest", JSON_OBJECT, err);
    if (j == NULL)
        return -1;
    if (dt_json_int(j, "schemaVersion", 0) != 2)
        return dt_err_set(err, DT_E_UNSUPPORTED, "image manifest of another schema version than 2");
    const json_t *config = json_object_get(j, "config");
    const json_t *layers = json_object_get(j, "layers");
    if (!json_is_object(config) || !json_is_array(layers))
        return dt_err_set(err, DT_E_INVALID, "image manifest without config and layers");
    const char *type = dt_json_text(config, "mediaType", "");
    if (!is_one_of(type, config_types))
        return dt_err_set(err, DT_E_UNSUPPORTED, "no image but an artifact ('%.120s')", type);
    if (json_array_size(layers) > DT_IMAGE_LAYERS_MAX)
        return dt_err_set(err, DT_E_LIMIT, "more than %d layers; squash the image",
                          DT_IMAGE_LAYERS_MAX);
    if (parse_desc(config, &ret->config, err) < 0)
        return dt_err_wrap(err, "image manifest: config");
    size_t i;
    const json_t *l;
    ret->nlayers = 0;
    json_array_foreach(layers, i, l)
    {
        if (parse_layer(l, &ret->layers[i], err) < 0)
            return dt_err_wrap(err, "image manifest: layer %zu", i);
        ret->nlayers++;
    }
    return 0;
}

static int parse_name(const json_t *j, char out[DT_ARCHIVE_NAME_MAX + 1], struct dt_err *err)
{
    const char *z = plain_text(j);
    struct dt_layer_path p;
    if (z == NULL || dt_layer_path_parse(z, &p, NULL) < 0 || p.text[0] == '\0' ||
        strlen(p.text) > DT_ARCHIVE_NAME_MAX)
        return dt_err_set(err, DT_E_INVALID,
                          "manifest.json: a name is missing, too long or leaves "
                          "the archive");
    memcpy(out, p.text, strlen(p.text) + 1);
    return 0;
}

int dt_manifest_docker_parse(struct dt_str text, struct dt_manifest_docker *ret, struct dt_err *err)
{
    DT_AUTO_JSON json_t *j = parse(text, "manifest.json", JSON_ARRAY, err);
    if (j == NULL)
        return -1;
    if (json_array_size(j) != 1)
        return dt_err_set(err, DT_E_INVALID, "the archive holds %zu images; save one image only",
                          json_array_size(j));
    const json_t *image = json_array_get(j, 0);
    const json_t *layers = json_object_get(image, "Layers");
    if (json_array_size(layers) > DT_IMAGE_LAYERS_MAX)
        return dt_err_set(err, DT_E_LIMIT, "more than %d layers; squash the image",
                          DT_IMAGE_LAYERS_MAX);
    if (parse_name(json_object_get(image, "Config"), ret->config, err) < 0)
        return -1;
    size_t i;
    const json_t *l;
    ret->nlayers = 0;
    json_array_foreach(layers, i, l)
    {
        if (parse_name(l, ret->layers[i], err) < 0)
            return -1;
        ret->nlayers++;
    }
    return 0;
}

static int parse_diff_ids(const json_t *config, struct dt_manifest_config *ret, struct dt_err *err)
{
    const json_t *rootfs = json_object_get(config, "rootfs");
    const json_t *ids = json_object_get(rootfs, "diff_ids");
    if (strcmp(dt_json_text(rootfs, "type", ""), "layers") != 0)
        return dt_err_set(err, DT_E_INVALID, "image configuration without a rootfs of layers");
    if (json_array_size(ids) > DT_IMAGE_LAYERS_MAX)
        return dt_err_set(err, DT_E_LIMIT, "more than %d layers; squash the image",
                          DT_IMAGE_LAYERS_MAX);
    size_t i;
    const json_t *id;
    ret->nlayers = 0;
    json_array_foreach(ids, i, id)
    {
        if (parse_digest(plain_text(id), ret->diff_ids[i], err) < 0)
            return dt_err_wrap(err, "image configuration: diff_ids");
        ret->nlayers++;
    }
    return 0;
}

/* A text member of the image's configuration as a new JSON string; "" when it is absent. */
static json_t *copy_text(const json_t *config, const char *key, struct dt_err *err)
{
    const json_t *j = json_object_get(config, key);
    if (j == NULL || json_is_null(j))
        return json_string("");
    const char *z = plain_text(j);
    if (z == NULL || strlen(z) > DT_TAR_PATH_MAX) {
        (void)dt_err_set(err, DT_E_INVALID,
                         "image configuration: %s is no text of at most %d bytes", key,
                         DT_TAR_PATH_MAX);
        return NULL;
    }
    return json_string(z);
}

/* Checks that a member is absent or a list of texts. */
static int check_texts(const json_t *list, const char *key, struct dt_err *err)
{
    size_t i;
    const json_t *e;
    if (list == NULL || json_is_null(list))
        return 0;
    if (!json_is_array(list) || json_array_size(list) > DT_MANIFEST_STRINGS_MAX)
        return dt_err_set(err, DT_E_INVALID,
                          "image configuration: %s is no list of at most %d texts", key,
                          DT_MANIFEST_STRINGS_MAX);
    json_array_foreach(list, i, e)
    {
        const char *z = plain_text(e);
        if (z == NULL || strlen(z) > DT_MANIFEST_STRING_MAX)
            return dt_err_set(err, DT_E_INVALID,
                              "image configuration: %s holds something that is no text of at most "
                              "%d bytes",
                              key, DT_MANIFEST_STRING_MAX);
    }
    return 0;
}

static json_t *copy_texts(const json_t *config, const char *key, struct dt_err *err)
{
    const json_t *list = json_object_get(config, key);
    if (check_texts(list, key, err) < 0)
        return NULL;
    return json_is_array(list) ? json_deep_copy(list) : json_array();
}

/* ["A=1"] -> {"A":"1"}; a later one wins, as it does for a process. */
static json_t *copy_env(const json_t *config, struct dt_err *err)
{
    const json_t *list = json_object_get(config, "Env");
    if (check_texts(list, "Env", err) < 0)
        return NULL;
    DT_AUTO_JSON json_t *env = json_object();
    size_t i;
    const json_t *e;
    json_array_foreach(list, i, e)
    {
        struct dt_str value = dt_str_z(json_string_value(e));
        struct dt_str name;
        (void)dt_str_cut(&value, '=', &name);
        if (name.n == 0)
            continue;
        char key[DT_TAR_PATH_MAX + 1];
        if (name.n > DT_TAR_PATH_MAX) {
            (void)dt_err_set(err, DT_E_INVALID,
                             "image configuration: a variable's name is too long");
            return NULL;
        }
        memcpy(key, name.p, name.n);
        key[name.n] = '\0';
        (void)json_object_set_new(env, key, json_stringn(value.p == NULL ? "" : value.p, value.n));
    }
    return dt_take(env);
}

static char *print(const json_t *j, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, 2 * (size_t)DT_MANIFEST_BYTES_MAX);
    return dt_json_write(j, &out, err) < 0 ? NULL : dt_buf_take(&out);
}

static char *convert(const json_t *config, struct dt_err *err)
{
    DT_AUTO_JSON json_t *out = json_object();
    const struct {
        const char *key;
        json_t *value;
    } rows[] = {{"user", copy_text(config, "User", err)},
                {"env", copy_env(config, err)},
                {"workdir", copy_text(config, "WorkingDir", err)},
                {"entrypoint", copy_texts(config, "Entrypoint", err)},
                {"cmd", copy_texts(config, "Cmd", err)}};
    bool ok = out != NULL;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ok = json_object_set_new(out, rows[i].key, rows[i].value) == 0 && ok;
    return ok ? print(out, err) : NULL;
}

int dt_manifest_config_parse(struct dt_str text, struct dt_manifest_config *ret, struct dt_err *err)
{
    DT_AUTO_JSON json_t *j = parse(text, "image configuration", JSON_OBJECT, err);
    if (j == NULL)
        return -1;
    const char *os = dt_json_text(j, "os", "linux");
    const char *arch = dt_json_text(j, "architecture", "");
    if (strcmp(os, "linux") != 0 || strcmp(arch, dt_manifest_arch()) != 0)
        return dt_err_set(err, DT_E_UNSUPPORTED,
                          "the image is for %.40s/%.40s; this machine is "
                          "linux/%s",
                          os, arch, dt_manifest_arch());
    struct dt_err why = {.code = DT_E_NOMEM, .msg = "image configuration"};
    if (parse_diff_ids(j, ret, err) < 0)
        return -1;
    ret->json = convert(json_object_get(j, "config"), &why);
    if (ret->json == NULL)
        return dt_err_set(err, why.code, "%s", why.msg);
    return 0;
}

char *dt_manifest_config_empty(void)
{
    return convert(NULL, NULL);
}
