#include "os/devfilter.h"

#include <assert.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

const struct dt_devfilter_rule dt_devfilter_rules[] = {
    {1, 3},    /* null */
    {1, 5},    /* zero */
    {1, 7},    /* full */
    {1, 8},    /* random */
    {1, 9},    /* urandom */
    {5, 0},    /* tty */
    {5, 2},    /* ptmx */
    {136, -1}, /* pts */
};
const unsigned dt_devfilter_nrules = sizeof(dt_devfilter_rules) / sizeof(dt_devfilter_rules[0]);

enum { LOAD_TRIES = 1000 };
enum { INSNS_MAX = 64, PROGRAMS_MAX = 64, R_RESULT = 0, R_CONTEXT = 1, R_TYPE, R_MAJOR, R_MINOR };

struct program {
    struct bpf_insn insns[INSNS_MAX];
    unsigned n;
};

static void put(struct program *p, struct bpf_insn insn)
{
    assert(p->n < INSNS_MAX);
    p->insns[p->n++] = insn;
}

static void put_load(struct program *p, unsigned reg, size_t offset)
{
    put(p, (struct bpf_insn){.code = BPF_LDX | BPF_MEM | BPF_W,
                             .dst_reg = (uint8_t)(reg & 15),
                             .src_reg = R_CONTEXT,
                             .off = (int16_t)offset});
}

static void put_alu(struct program *p, int op, unsigned reg, int32_t imm)
{
    put(p, (struct bpf_insn){.code = (uint8_t)(BPF_ALU64 | BPF_K | op),
                             .dst_reg = (uint8_t)(reg & 15),
                             .imm = imm});
}

static void put_jump(struct program *p, int op, unsigned reg, int32_t imm, int16_t off)
{
    put(p, (struct bpf_insn){.code = (uint8_t)(BPF_JMP | BPF_K | op),
                             .dst_reg = (uint8_t)(reg & 15),
                             .off = off,
                             .imm = imm});
}

static void put_return(struct program *p, int allow)
{
    put_alu(p, BPF_MOV, R_RESULT, allow);
    put(p, (struct bpf_insn){.code = BPF_JMP | BPF_EXIT});
}

/* access_type holds the kind of device in its low half and the wish in its high half. */
static void build(struct program *p)
{
    p->n = 0;
    put_load(p, R_TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type));
    put_load(p, R_MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
    put_load(p, R_MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
    put_jump(p, BPF_JSET, R_TYPE, BPF_DEVCG_ACC_MKNOD << 16, 2);
    put_alu(p, BPF_AND, R_TYPE, 0xffff);
    put_jump(p, BPF_JEQ, R_TYPE, BPF_DEVCG_DEV_CHAR, 2);
    put_return(p, 0);
    for (unsigned i = 0; i < dt_devfilter_nrules; i++) {
        const struct dt_devfilter_rule *rule = &dt_devfilter_rules[i];
        put_jump(p, BPF_JNE, R_MAJOR, rule->major, rule->minor < 0 ? 2 : 3);
        if (rule->minor >= 0)
            put_jump(p, BPF_JNE, R_MINOR, rule->minor, 2);
        put_return(p, 1);
    }
    put_return(p, 0);
}

static int bpf(int cmd, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int load(struct dt_err *err)
{
    struct program p;
    build(&p);
    union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
                           .insn_cnt = p.n,
                           .insns = (uint64_t)(uintptr_t)p.insns,
                           .license = (uint64_t)(uintptr_t) "Apache-2.0",
                           .prog_name = "daytona_dev"};
    int fd = bpf(BPF_PROG_LOAD, &attr);
    for (unsigned i = 0; fd < 0 && errno == EAGAIN && i < LOAD_TRIES; i++)
        fd = bpf(BPF_PROG_LOAD, &attr); /* the verifier gives up when a signal comes */
    if (fd >= 0)
        return fd;
    (void)dt_err_errno(err, "load the device program");
    if (err != NULL && errno != ENOMEM)
        err->code = DT_E_UNSUPPORTED;
    return -1;
}

static int query(int cgroup_fd, uint32_t ids[PROGRAMS_MAX], unsigned *n)
{
    union bpf_attr attr = {.query = {.target_fd = (uint32_t)cgroup_fd,
                                     .attach_type = BPF_CGROUP_DEVICE,
                                     .prog_ids = (uint64_t)(uintptr_t)ids,
                                     .prog_cnt = PROGRAMS_MAX}};
    if (bpf(BPF_PROG_QUERY, &attr) < 0)
        return -1;
    *n = attr.query.prog_cnt;
    return 0;
}

static int detach(int cgroup_fd, uint32_t id, struct dt_err *err)
{
    union bpf_attr by_id = {.prog_id = id};
    DT_AUTO_FD int old = bpf(BPF_PROG_GET_FD_BY_ID, &by_id);
    if (old < 0)
        return dt_err_errno(err, "open the earlier device program %u", id);
    union bpf_attr attr = {.target_fd = (uint32_t)cgroup_fd,
                           .attach_bpf_fd = (uint32_t)old,
                           .attach_type = BPF_CGROUP_DEVICE};
    if (bpf(BPF_PROG_DETACH, &attr) < 0)
        return dt_err_errno(err, "detach the earlier device program %u", id);
    return 0;
}

/* The new one is there before the old ones go, so that no moment is without a filter. */
int dt_devfilter_attach(int cgroup_fd, struct dt_err *err)
{
    uint32_t ids[PROGRAMS_MAX] = {0};
    unsigned nids = 0;
    DT_AUTO_FD int prog = load(err);
    if (prog < 0)
        return -1;
    if (query(cgroup_fd, ids, &nids) < 0)
        return dt_err_errno(err, "list the group's device programs");
    union bpf_attr attr = {.target_fd = (uint32_t)cgroup_fd,
                           .attach_bpf_fd = (uint32_t)prog,
                           .attach_type = BPF_CGROUP_DEVICE,
                           .attach_flags = BPF_F_ALLOW_MULTI};
    if (bpf(BPF_PROG_ATTACH, &attr) < 0)
        return dt_err_errno(err, "attach the device program");
    for (unsigned i = 0; i < nids; i++)
        if (detach(cgroup_fd, ids[i], err) < 0)
            return -1;
    return 0;
}
