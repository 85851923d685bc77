#include "os/caps.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

const uint64_t dt_caps_sandbox =
    DT_CAP(CAP_CHOWN) | DT_CAP(CAP_DAC_OVERRIDE) | DT_CAP(CAP_FOWNER) | DT_CAP(CAP_FSETID) |
    DT_CAP(CAP_KILL) | DT_CAP(CAP_SETGID) | DT_CAP(CAP_SETUID) | DT_CAP(CAP_SETPCAP) |
    DT_CAP(CAP_NET_BIND_SERVICE) | DT_CAP(CAP_SYS_CHROOT) | DT_CAP(CAP_SETFCAP);

#define LAUNCHER_NEEDS(X)                                                                          \
    X(CHOWN)        /* sockets and state for runnerd's uid */                                      \
    X(DAC_OVERRIDE) /* layers and disks that belong to other uids */                               \
    X(FOWNER)       /* modes and times of the same */                                              \
    X(FSETID)       /* set-id bits while layers are unpacked */                                    \
    X(KILL)         /* signals to sandboxes' pid 1 */                                              \
    X(SETGID)       /* gid_map; becoming a sandbox's root for the overlay */                       \
    X(SETUID)       /* uid_map; the same */                                                        \
    X(SETPCAP)      /* cutting bounding sets */                                                    \
    X(NET_ADMIN)    /* veth, routes, nftables; device programs of cgroups */                       \
    X(SYS_CHROOT)   /* setns into a mount namespace */                                             \
    X(SYS_PTRACE)   /* namespaces and roots of running sandboxes */                                \
    X(SYS_ADMIN)    /* mounts, namespaces, loop devices, cgroups, quotas */                        \
    X(MKNOD)        /* a loop device's node where /dev is not a devtmpfs */                        \
    X(SETFCAP)      /* file capabilities in layers; maps of uid 0 */

const uint64_t dt_caps_launcher =
#define X(cap) DT_CAP(CAP_##cap) |
    LAUNCHER_NEEDS(X)
#undef X
        0;

static const struct need {
    int cap;
    const char *name;
} launcher_needs[] = {
#define X(cap) {CAP_##cap, #cap},
    LAUNCHER_NEEDS(X)
#undef X
};

static int get_sets(struct __user_cap_data_struct sets[2])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    return (int)syscall(SYS_capget, &head, sets);
}

static int set_sets(uint64_t mask)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2] = {
        {.effective = (uint32_t)mask, .permitted = (uint32_t)mask},
        {.effective = (uint32_t)(mask >> 32), .permitted = (uint32_t)(mask >> 32)},
    };
    return (int)syscall(SYS_capset, &head, sets);
}

/* Up to the last capability that this kernel knows: it answers EINVAL behind it. */
static int cut_bounding(uint64_t keep)
{
    for (unsigned cap = 0; cap < 64; cap++) {
        if ((keep & DT_CAP(cap)) != 0)
            continue;
        int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (has < 0)
            return errno == EINVAL ? 0 : -1;
        if (has > 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -1;
    }
    return 0;
}

int dt_caps_keep(uint64_t mask)
{
    if (cut_bounding(mask) < 0)
        return -1;
    if (prctl(PR_SET_SECUREBITS, SECUREBITS_DEFAULT, 0, 0, 0) < 0)
        return -1;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -1;
    return set_sets(mask);
}

int dt_caps_none(void)
{
    enum {
        LOCKED = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                 SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED
    };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -1;
    if (cut_bounding(0) < 0 || prctl(PR_SET_SECUREBITS, LOCKED, 0, 0, 0) < 0)
        return -1;
    return set_sets(0);
}

static int report_missing(uint64_t missing, struct dt_err *err)
{
    char names[256] = "";
    size_t n = 0;
    for (size_t i = 0; i < sizeof(launcher_needs) / sizeof(launcher_needs[0]); i++)
        if ((missing & DT_CAP(launcher_needs[i].cap)) != 0 && n < sizeof(names))
            n += (size_t)snprintf(names + n, sizeof(names) - n, " CAP_%s", launcher_needs[i].name);
    return dt_err_set(err, DT_E_FORBIDDEN,
                      "the launcher lacks%s: start it as root of the host with these capabilities",
                      names);
}

int dt_caps_reduce_launcher(struct dt_err *err)
{
    struct __user_cap_data_struct sets[2];
    if (get_sets(sets) < 0)
        return dt_err_errno(err, "capget");
    uint64_t have = sets[0].permitted | (uint64_t)sets[1].permitted << 32;
    if ((dt_caps_launcher & ~have) != 0)
        return report_missing(dt_caps_launcher & ~have, err);
    if (dt_caps_keep(dt_caps_launcher) < 0)
        return dt_err_errno(err, "reduce the launcher's capabilities");
    return 0;
}
