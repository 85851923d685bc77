#include "runnerd/boot.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "model/name.h"
#include "runnerd/mounts.h"

enum { CHAIN_ID_LEN = 64 };

static int hex_bytes(struct dt_str hex, uint8_t *out)
{
    for (size_t i = 0; i < hex.n; i++) {
        char c = hex.p[i];
        int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (v < 0)
            return -1;
        out[i / 2] = (uint8_t)(i % 2 == 0 ? v << 4 : out[i / 2] | v);
    }
    return 0;
}

int dt_uuid_bytes(const char *id, uint8_t out[16])
{
    char hex[32];
    size_t n = 0;
    if (!dt_is_uuid(id))
        return -1;
    for (; *id != '\0'; id++) {
        if (*id != '-')
            hex[n++] = *id;
    }
    return hex_bytes(dt_str(hex, n), out);
}

void dt_uuid_text(const uint8_t bytes[16], char out[DT_UUID_SIZE])
{
    char hex[33];
    dt_hex(bytes, 16, hex);
    (void)snprintf(out, DT_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                   hex + 20);
}

static int merge_env(json_t *into, const json_t *env, struct dt_err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)env, key, value)
    {
        if (dt_env_name_check(dt_str_z(key), err) < 0)
            return -1;
        if (strlen(json_string_value(value)) != json_string_length(value))
            return dt_err_set(err, DT_E_BAD_REQUEST, "env.%.64s must not contain a NUL character",
                              key);
        if (json_object_set(into, key, value) < 0)
            return dt_err_set(err, DT_E_NOMEM, "env");
    }
    return 0;
}

/* What nearly every base image names. Without anybody to type it would end at once. */
static bool is_lone_shell(const json_t *words)
{
    static const char *const shells[] = {"sh", "bash", "dash", "ash", "zsh", "ksh", "fish"};
    const char *word = json_string_value(json_array_get(words, 0));
    if (json_array_size(words) != 1 || word == NULL)
        return false;
    const char *slash = strrchr(word, '/');
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (strcmp(slash != NULL ? slash + 1 : word, shells[i]) == 0)
            return true;
    }
    return false;
}

json_t *dt_boot_entrypoint(const json_t *image)
{
    json_t *words = json_array();
    (void)json_array_extend(words, json_object_get(image, "entrypoint"));
    (void)json_array_extend(words, json_object_get(image, "cmd"));
    if (is_lone_shell(words))
        (void)json_array_clear(words);
    return words;
}

static json_t *make_boot(const struct dt_sandbox_row *row, const json_t *image, const json_t *env,
                         bool user_required, struct dt_err *err)
{
    DT_AUTO_JSON json_t *all = json_object();
    if (merge_env(all, json_object_get(image, "env"), err) < 0 || merge_env(all, env, err) < 0)
        return NULL;
    json_t *boot = json_pack("{s:s, s:s, s:b, s:O, s:s, s:o, s:s}", "id", row->id, "user",
                             row->user, "userRequired", user_required, "env", all, "workdir",
                             dt_json_text(image, "workdir", ""), "entrypoint",
                             dt_boot_entrypoint(image), "hostname", row->id);
    if (boot == NULL)
        (void)dt_err_set(err, DT_E_NOMEM, "sandbox");
    return boot;
}

static char *write_json(const json_t *j, size_t max, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, max);
    if (dt_json_write(j, &b, err) < 0)
        return NULL;
    return dt_buf_take(&b);
}

static char *join_layers(const struct dt_snapshot_row *tools,
                         const struct dt_snapshot_row *snapshot, struct dt_err *err)
{
    char *all = NULL;
    const char *below = tools != NULL ? tools->layers : "";
    if (asprintf(&all, "%s%s%s", below, below[0] != '\0' && snapshot->layers[0] != '\0' ? " " : "",
                 snapshot->layers) < 0) {
        (void)dt_err_set(err, DT_E_NOMEM, "layers");
        return NULL;
    }
    return all;
}

int dt_boot_make(struct dt_sandbox_row *row, const struct dt_snapshot_row *snapshot,
                 const struct dt_snapshot_row *tools, const char *user, const json_t *env,
                 struct dt_err *err)
{
    DT_AUTO_JSON json_t *image = dt_json_parse(dt_str_z(snapshot->config), 8, err);
    if (image == NULL)
        return dt_err_wrap(err, "configuration of snapshot %s", snapshot->name);
    const char *image_user = dt_json_text(image, "user", "");
    bool named = user != NULL && user[0] != '\0';
    const char *chosen = named ? user : image_user[0] != '\0' ? image_user : "root";
    if (dt_user_check(dt_str_z(chosen), err) < 0)
        return -1;
    row->user = strdup(chosen);
    row->layers = join_layers(tools, snapshot, err);
    if (row->user == NULL || row->layers == NULL)
        return dt_err_set(err, DT_E_NOMEM, "sandbox");
    DT_AUTO_JSON json_t *boot = make_boot(row, image, env, named && strcmp(user, "root") != 0, err);
    if (boot == NULL)
        return -1;
    row->boot = write_json(boot, DT_BOOT_MAX - 4096, err);
    if (row->boot == NULL)
        return err->code == DT_E_TOO_LARGE
                   ? dt_err_set(
                         err, DT_E_BAD_REQUEST,
                         "env: all variables, with the image's own and its entrypoint, must stay "
                         "below %d KiB together",
                         DT_BOOT_MAX / 1024 - 4)
                   : -1;
    return 0;
}

static char *fork_boot(const char *boot, const char *id, struct dt_err *err)
{
    DT_AUTO_JSON json_t *j = dt_json_parse(dt_str_z(boot), 8, err);
    if (j == NULL)
        return NULL;
    (void)json_object_set_new(j, "id", json_string(id));
    (void)json_object_set_new(j, "hostname", json_string(id));
    return write_json(j, DT_BOOT_MAX - 4096, err);
}

static bool copy_text(char **to, const char *from)
{
    *to = from != NULL ? strdup(from) : NULL;
    return from == NULL || *to != NULL;
}

int dt_boot_fork(struct dt_sandbox_row *row, const struct dt_sandbox_row *parent,
                 struct dt_err *err)
{
    row->is_public = parent->is_public;
    row->block_all = parent->block_all;
    row->res = parent->res;
    row->auto_stop = parent->auto_stop;
    row->auto_archive = parent->auto_archive;
    row->auto_delete = parent->auto_delete;
    row->auto_pause = parent->auto_pause;
    row->starts = 1;
    if (!copy_text(&row->snapshot, parent->snapshot) || !copy_text(&row->user, parent->user) ||
        !copy_text(&row->env, parent->env) || !copy_text(&row->labels, parent->labels) ||
        !copy_text(&row->allow_list, parent->allow_list) ||
        !copy_text(&row->target, parent->target) ||
        !copy_text(&row->class_name, parent->class_name) ||
        !copy_text(&row->layers, parent->layers) || !copy_text(&row->volumes, parent->volumes) ||
        !copy_text(&row->forked_from, parent->id))
        return dt_err_set(err, DT_E_NOMEM, "sandbox");
    row->boot = fork_boot(parent->boot, row->id, err);
    return row->boot != NULL ? 0 : -1;
}

static int fill_layers(struct dt_lw_spec *spec, const char *layers, struct dt_err *err)
{
    struct dt_str rest = dt_str_z(layers), one;
    while (layers[0] != '\0' && dt_str_cut(&rest, ' ', &one)) {
        if (spec->nlayers == DT_LW_LAYERS_MAX)
            return dt_err_set(err, DT_E_BAD_REQUEST, "the snapshot has more than %d layers",
                              DT_LW_LAYERS_MAX);
        if (one.n != CHAIN_ID_LEN || hex_bytes(one, spec->layers[spec->nlayers++]) < 0)
            return dt_err_set(err, DT_E_SYSTEM, "store: bad layer id");
    }
    return 0;
}

static void set_allowed(struct dt_lw_spec *spec, const struct dt_cidr *cidrs, int n)
{
    spec->net = n > 0 ? DT_LW_NET_ALLOW : DT_LW_NET_NONE;
    spec->ncidrs = (uint32_t)n;
    for (int i = 0; i < n; i++)
        spec->cidrs[i] = (struct dt_lw_cidr){cidrs[i].addr, cidrs[i].prefix};
}

static int fill_network(struct dt_lw_spec *spec, const struct dt_sandbox_row *row,
                        const char *limit, struct dt_err *err)
{
    struct dt_cidr own[DT_CIDRS_MAX], most[DT_CIDRS_MAX], both[DT_CIDRS_MAX];
    int own_n = dt_cidr_list(dt_str_z(row->allow_list), own, err);
    int most_n = own_n < 0 ? -1 : dt_cidr_list(dt_str_z(limit), most, err);
    if (most_n < 0)
        return -1;
    if (row->block_all)
        set_allowed(spec, NULL, 0);
    else if (limit != NULL && own_n > 0)
        set_allowed(spec, both, dt_cidr_meet(own, own_n, most, most_n, both));
    else if (limit != NULL)
        set_allowed(spec, most, most_n);
    else if (own_n > 0)
        set_allowed(spec, own, own_n);
    else
        spec->net = DT_LW_NET_FULL;
    return 0;
}

/* A fork bomb of 4,096 processes on one cpu slows what others start by a fifth: they are in the
 * kernel on every cpu that there is. One of 1,024 does not. */
static uint32_t tasks_of(int64_t cpu_millis)
{
    enum { TASKS_PER_CPU = 1024, TASKS_MAX = 32768 };
    int64_t tasks = (cpu_millis + 999) / 1000 * TASKS_PER_CPU;
    return (uint32_t)(tasks < TASKS_MAX ? tasks : TASKS_MAX);
}

int dt_boot_request(const struct dt_sandbox_row *row, const char *limit, uint32_t op,
                    struct dt_lw_request *r, struct dt_err *err)
{
    memset(r, 0, sizeof(*r));
    r->op = op;
    if (dt_uuid_bytes(row->id, r->id) < 0)
        return dt_err_set(err, DT_E_SYSTEM, "store: bad sandbox id");
    struct dt_lw_spec *spec = &r->spec;
    spec->memory_bytes = (uint64_t)row->res.memory_mib << 20;
    spec->disk_bytes = (uint64_t)row->res.disk_mib << 20;
    spec->cpu_millis = (uint32_t)row->res.cpu_millis;
    spec->pids = tasks_of(row->res.cpu_millis);
    (void)snprintf(spec->hostname, sizeof(spec->hostname), "%s", row->id);
    if (fill_network(spec, row, limit, err) < 0 || fill_layers(spec, row->layers, err) < 0)
        return -1;
    return dt_mounts_request(row->volumes, spec, err);
}

int dt_boot_memfd(const struct dt_sandbox_row *row, uint32_t resolver, struct dt_err *err)
{
    char address[DT_IPV4_SIZE], resolv[128] = "", hosts[256];
    DT_AUTO_JSON json_t *boot = dt_json_parse(dt_str_z(row->boot), 8, err);
    if (boot == NULL)
        return -1;
    if (resolver != 0)
        (void)snprintf(resolv, sizeof(resolv), "nameserver %s\noptions edns0\n",
                       dt_ipv4_text(resolver, address));
    (void)snprintf(hosts, sizeof(hosts), "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n",
                   row->id);
    (void)json_object_set_new(boot, "resolvConf", json_string(resolv));
    (void)json_object_set_new(boot, "hosts", json_string(hosts));
    DT_AUTO_FREE char *text = write_json(boot, DT_BOOT_MAX, err);
    if (text == NULL)
        return -1;
    DT_AUTO_FD int fd = memfd_create("toolbox.json", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return dt_err_errno(err, "memfd");
    if (dt_fd_write_all(fd, text, strlen(text), err) < 0)
        return -1;
    if (lseek(fd, 0, SEEK_SET) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return dt_err_errno(err, "memfd");
    return dt_take_fd(&fd);
}
