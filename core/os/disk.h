/*
 * The disk of a sandbox: where its writable layer lives, limited in bytes and inodes.
 *
 * Two drivers, probed when the data directory is opened. `project`: the file system enforces
 * project quotas (ext4 or xfs mounted with prjquota), and the disk is the directory <sandbox>/disk
 * with a project of its own. `loop`: an ext4 image <sandbox>/disk.img, a sparse copy of
 * templates/ext4-<MiB>-<inodes>.img, on a loop device that clears itself.
 *
 * A disk that was made with one driver keeps it: the name on disk decides. Mounts are detached:
 * nothing appears in a mount table, and all of it vanishes with its last user, also after kill -9.
 *
 * An image that was not unmounted (power loss) is repaired by its journal when it is mounted again;
 * e2fsck -p runs only when the superblock says that the kernel found errors.
 */
#ifndef DT_DISK_H
#define DT_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct dt_disk_store;

#define DT_DISK_MIN_BYTES (64ULL << 20)
#define DT_DISK_MAX_BYTES (16ULL << 40)

/* `data_dirfd` is the data directory (borrowed, duplicated); templates/ is made in it when missing.
 * UNSUPPORTED says what the host lacks for either driver and what to install or mount. */
int dt_disk_store_open(int data_dirfd, struct dt_disk_store **ret,
                       struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine; always returns NULL. */
struct dt_disk_store *dt_disk_store_free(struct dt_disk_store *s);
DT_DEFINE_AUTO(struct dt_disk_store *, dt_disk_store_free)
/* "project" or "loop": what new disks use. */
const char *dt_disk_driver(const struct dt_disk_store *s);

/* Makes sure that the template for disks of this size exists. The first disk of a size takes some
 * 20 ms (mke2fs); call this ahead to keep it off a create. Nothing to do for projects. */
int dt_disk_prepare(struct dt_disk_store *s, uint64_t bytes, uint64_t inodes,
                    struct dt_err *err) DT_MUST_CHECK;
/* Makes the disk in the sandbox's directory. `bytes` is rounded up to 1 MiB; file system overhead
 * comes out of it. `inodes` 0 = one per 16 KiB. CONFLICT when there is one already; INVALID outside
 * of DT_DISK_MIN_BYTES..MAX; LIMIT when the host's disk is full. On failure nothing is left. */
int dt_disk_make(struct dt_disk_store *s, int sandbox_dirfd, uint64_t bytes, uint64_t inodes,
                 struct dt_err *err) DT_MUST_CHECK;
/* Whether the sandbox's directory has a disk. */
bool dt_disk_exists(int sandbox_dirfd);

/* Mounts the disk: nodev, noatime, detached, private. *mount_fd (O_PATH, CLOEXEC) is its root, with
 * `upper/` and a fresh `work/`, both 0755 and owned by root when new. The caller owns *mount_fd:
 * mount the overlay from it, then close it; the overlay keeps the disk alive. Set-uid files work
 * (sudo). CONFLICT when the disk is in use. NOT_FOUND without a disk. */
int dt_disk_mount(struct dt_disk_store *s, int sandbox_dirfd, int *mount_fd,
                  struct dt_err *err) DT_MUST_CHECK;

/* Mounts a disk that several may have mounted at once (a volume): joins the mounts that there are.
 * Flags as dt_disk_mount, but no folders are made and *mount_fd is the disk's whole root. Calls for
 * one disk must not run beside each other. CONFLICT when a program other than ours has the image
 * open, or the disk is read-only after an error, which ends with its last mount. */
int dt_disk_share(struct dt_disk_store *s, int dirfd, int *mount_fd,
                  struct dt_err *err) DT_MUST_CHECK;

/* Whether a loop device still has the image open: two mounts of one image would destroy it. The
 * last process of a sandbox may be gone a little before its disk is. Always false for projects. */
int dt_disk_in_use(struct dt_disk_store *s, int sandbox_dirfd, bool *in_use,
                   struct dt_err *err) DT_MUST_CHECK;
/* Waits until it is not; TIMEOUT at the deadline (dt_clock_ms()'s clock). */
int dt_disk_wait_free(struct dt_disk_store *s, int sandbox_dirfd, uint64_t deadline_ms,
                      struct dt_err *err) DT_MUST_CHECK;

/* Loop devices stay when their disk is gone, for the next one; but each costs every sysinfo(2) of
 * the host some time under one lock, and shells make that call when they start. Removes at most
 * `most` that nobody uses, of those with the numbers from `first` to `last`; takes some 50 ms for
 * each. LIMIT when that many are gone and there are more; CONFLICT when only such are left that
 * somebody has open just now. Nothing to do for projects. */
int dt_disk_spare(struct dt_disk_store *s, unsigned first, unsigned last, unsigned most,
                  struct dt_err *err) DT_MUST_CHECK;

/* A disk holds a little in reserve, so that a full one can be used again: an overlay needs a few
 * files of its own when it is mounted. `root` is where the disk is mounted. Giving the reserve up
 * is true when there was one; making it anew may fail, on a disk that is too full. */
bool dt_disk_reserve_give(int root);
void dt_disk_reserve_make(int root);
/* Work on whole disks may take minutes: `fn` (NULL is fine) is called every few megabytes, so that
 * somebody can tell it from work that has stopped. */
struct dt_disk_pulse {
    void (*fn)(void *ctx);
    void *ctx;
};

/* Everything that was written to a mounted disk is in its image. Its file systems' own sync does
 * not reach it, because the overlay above is volatile. */
int dt_disk_sync(struct dt_disk_store *s, int sandbox_dirfd, struct dt_err *err) DT_MUST_CHECK;
/* Gives what deleted files took back to the host, and repairs what a power loss left. CONFLICT when
 * the disk is in use. Waits until it is free again. */
int dt_disk_trim(struct dt_disk_store *s, int sandbox_dirfd, struct dt_err *err) DT_MUST_CHECK;
/* A disk like that of `from`, which may be mounted, as long as nobody writes to it, and in sync. As
 * dt_disk_make() otherwise. Shares blocks where the host's file system can. */
int dt_disk_copy(struct dt_disk_store *s, int from_dirfd, int to_dirfd,
                 const struct dt_disk_pulse *pulse, struct dt_err *err) DT_MUST_CHECK;
/* Makes the disk larger; inodes grow with it. Nothing to do when it has the size already. The new
 * one is made aside: at any moment there is a whole disk. CONFLICT when it is in use, INVALID when
 * it would shrink, LIMIT when the host's disk is full. */
int dt_disk_grow(struct dt_disk_store *s, int sandbox_dirfd, uint64_t bytes,
                 const struct dt_disk_pulse *pulse, struct dt_err *err) DT_MUST_CHECK;

/* The whole disk as one compressed stream (disk_save.c), with nobody writing to it meanwhile. LIMIT
 * when the disk of `out_fd` is full. */
int dt_disk_save(int sandbox_dirfd, int out_fd, const struct dt_disk_pulse *pulse,
                 struct dt_err *err) DT_MUST_CHECK;
/* Reads a saved disk back and compares it with the disk, byte for byte. INVALID where they differ.
 */
int dt_disk_compare(int sandbox_dirfd, int in_fd, const struct dt_disk_pulse *pulse,
                    struct dt_err *err) DT_MUST_CHECK;
/* Makes the disk that was saved; it has reached the host's storage when this returns. INVALID when
 * the stream is damaged; CONFLICT when there is a disk already. On failure nothing is left. */
int dt_disk_load(struct dt_disk_store *s, int sandbox_dirfd, int in_fd,
                 const struct dt_disk_pulse *pulse, struct dt_err *err) DT_MUST_CHECK;

struct dt_disk_usage {
    uint64_t used_bytes, total_bytes;
    uint64_t used_inodes, total_inodes; /* 0, 0 when only the host's side is known */
    uint64_t host_bytes;                /* what the disk takes of the host's, holes not counted */
};
/* With `fd` anywhere on the mounted disk or on its overlay (/proc/<pid>/root opened O_PATH) the
 * file system's own figures. With -1 what is known from outside: used_bytes = host_bytes. */
int dt_disk_usage(struct dt_disk_store *s, int sandbox_dirfd, int fd, struct dt_disk_usage *usage,
                  struct dt_err *err) DT_MUST_CHECK;

#endif
