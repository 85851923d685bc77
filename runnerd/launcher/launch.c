#include "runnerd/launcher/launch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/rand.h"
#include "os/overlay.h"
#include "runnerd/launcher/launcher.h"

_Static_assert((int)DT_BOX_VOLUMES_MAX == DT_LW_VOLUMES_MAX &&
                   (int)DT_BOX_PATH_SIZE == DT_LW_PATH_SIZE,
               "what a request may name, a box can mount");

int dt_launch_check_layers(const struct dt_launcher *l, const struct dt_lw_spec *spec,
                           struct dt_err *err)
{
    for (uint32_t i = 0; i < spec->nlayers; i++) {
        char name[DT_LAYER_ID_SIZE * 2 + 1];
        dt_hex(spec->layers[i], DT_LAYER_ID_SIZE, name);
        if (faccessat(l->layers, name, F_OK, 0) < 0)
            return dt_err_set(err, DT_E_NOT_FOUND,
                              "layer %s is not in the store; pull the image again", name);
    }
    return 0;
}

static int root_new(const struct dt_sandbox *s, int *ret, struct dt_err *err)
{
    const struct dt_overlay o = {
        .userns = s->box.userns,
        .base = dt_slot_base(s->l->instance, s->kit.slot),
        .disk = s->disk.mount,
        .layers_dir = s->l->layers,
        .nlayers = s->spec->nlayers,
        .layers = s->spec->layers,
    };
    return dt_overlay_new(&o, ret, err);
}

static int idmap_volumes(const struct dt_sandbox *s, struct dt_err *err)
{
    for (unsigned i = 0; i < s->volumes.n; i++) {
        if (dt_overlay_idmap(s->volumes.mounts[i], s->box.userns, err) < 0)
            return dt_err_wrap(err, "volume");
    }
    return 0;
}

static int limit(struct dt_sandbox *s, struct dt_err *err)
{
    const struct dt_cgroup_limits limits = {
        .memory_bytes = s->spec->memory_bytes,
        .cpu_millis = s->spec->cpu_millis,
        .pids = s->spec->pids,
    };
    return dt_cgroup_limit(s->l->cgroups, s->kit.cgroup, &limits, err);
}

int dt_launch_rules(struct dt_sandbox *s, struct dt_err *err)
{
    static const enum dt_sandbox_net_mode modes[] = {[DT_LW_NET_FULL] = DT_SANDBOX_NET_FULL,
                                                     [DT_LW_NET_NONE] = DT_SANDBOX_NET_NONE,
                                                     [DT_LW_NET_ALLOW] = DT_SANDBOX_NET_ALLOW};
    struct dt_launcher *l = s->l;
    const struct dt_lw_spec *spec = s->spec;
    struct dt_cidr cidrs[DT_LW_CIDRS_MAX];
    s->addr = 0;
    if (l->net == NULL || s->kit.alone)
        return 0;
    s->addr = spec->net == DT_LW_NET_NONE ? 0 : dt_sandbox_net_addr(l->net, s->kit.slot);
    for (uint32_t i = 0; i < spec->ncidrs; i++)
        cidrs[i] = (struct dt_cidr){spec->cidrs[i].addr, spec->cidrs[i].prefix};
    return dt_sandbox_net_policy(l->net, s->kit.slot, modes[spec->net], cidrs, spec->ncidrs, err);
}

/* A kit was made with the full network. */
static int set_network(struct dt_sandbox *s, struct dt_err *err)
{
    if (s->spec->net != DT_LW_NET_FULL)
        return dt_launch_rules(s, err);
    s->addr = s->l->net != NULL && !s->kit.alone ? dt_sandbox_net_addr(s->l->net, s->kit.slot) : 0;
    return 0;
}

/* From here on the next launcher knows of it. A fresh sandbox appears with all it has. */
static int publish(struct dt_sandbox *s, struct dt_err *err)
{
    struct dt_launcher *l = s->l;
    char id[DT_ID_TEXT_SIZE];
    char serial[32];
    dt_id_text(s->id, id);
    (void)snprintf(serial, sizeof(serial), "%016llx", (unsigned long long)s->disk.serial);
    DT_AUTO_FD int dir = openat(s->fresh ? l->pool_dir : l->sandboxes, s->fresh ? serial : id,
                                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return dt_err_errno(err, "open the sandbox's folder");
    struct dt_record r = {.slot = s->kit.slot,
                          .addr = s->addr,
                          .creating = s->fresh,
                          .net = s->spec->net,
                          .ncidrs = s->spec->ncidrs};
    memcpy(r.cidrs, s->spec->cidrs, sizeof(r.cidrs));
    memcpy(r.cgroup, s->kit.cgroup, sizeof(r.cgroup));
    r.nvolumes = s->volumes.n;
    memcpy(r.volumes, s->volumes.ids, sizeof(r.volumes));
    if (dt_record_init(&r, s->box.pid, err) < 0 || dt_record_write(dir, &r, err) < 0)
        return -1;
    if (s->fresh && renameat(l->pool_dir, serial, l->sandboxes, id) < 0)
        return dt_err_errno(err, "put the sandbox's folder in its place");
    s->moved = s->fresh;
    return 0;
}

static int launch(struct dt_sandbox *s, struct dt_err *err)
{
    DT_AUTO_FD int root = -1;
    if (root_new(s, &root, err) < 0 || idmap_volumes(s, err) < 0 || limit(s, err) < 0)
        return -1;
    struct dt_rootfs_volume volumes[DT_LW_VOLUMES_MAX];
    for (unsigned i = 0; i < s->volumes.n; i++)
        volumes[i] = (struct dt_rootfs_volume){s->volumes.mounts[i], s->spec->volumes[i].path};
    const struct dt_box_order order = {
        .overlay = root,
        .listener = s->disk.listener,
        .shm_bytes = s->spec->memory_bytes / 2,
        .volumes = volumes,
        .nvolumes = s->volumes.n,
    };
    return dt_box_go(&s->box, &order, err);
}

int dt_launch(struct dt_sandbox *s, struct dt_err *err)
{
    if (launch(s, err) < 0) {
        dt_box_abort(&s->box);
        return -1;
    }
    return 0;
}

int dt_launch_own(struct dt_sandbox *s, struct dt_err *err)
{
    if (set_network(s, err) < 0 || publish(s, err) < 0)
        return -1;
    return dt_box_own(&s->box, s->l->host_uts, s->spec->hostname, s->config, err);
}
