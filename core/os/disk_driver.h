/* What the files of the disk noun share. */
#ifndef DT_DISK_DRIVER_H
#define DT_DISK_DRIVER_H

#include "os/disk.h"
#include "os/zfile.h"

enum { DT_DISK_BLOCK = 4096, DT_DISK_BYTES_PER_INODE = 16384, DT_DISK_DEVICE_SIZE = 32 };

struct dt_disk_store {
    int data;
    int templates;
    int loop_control; /* -1 where loop images cannot be used */
    bool project;     /* new disks are project directories */
};

/* Rounded and checked. */
struct dt_disk_size {
    uint64_t bytes, inodes;
};

/* Whether the sandbox's directory has that, of that type. */
bool dt_disk_has(int sandbox, const char *name, mode_t type);
void dt_disk_pulse(const struct dt_disk_pulse *pulse);

/* disk_loop.c */
extern const char dt_disk_image[];
int dt_disk_loop_probe(struct dt_disk_store *s, struct dt_err *err) DT_MUST_CHECK;
/* Locks nothing: a lease that is taken and given back proves that nobody else has the file open. */
int dt_disk_loop_lease(int fd, bool *in_use, struct dt_err *err) DT_MUST_CHECK;
int dt_disk_loop_mount(struct dt_disk_store *s, int sandbox, int *mount_fd,
                       struct dt_err *err) DT_MUST_CHECK;
int dt_disk_loop_share(struct dt_disk_store *s, int dir, int *mount_fd,
                       struct dt_err *err) DT_MUST_CHECK;

/* The device that has the image; NOT_FOUND when none has. */
int dt_disk_loop_find(int image, char device[DT_DISK_DEVICE_SIZE],
                      struct dt_err *err) DT_MUST_CHECK;
/* A further mount of a device that is mounted. */
int dt_disk_loop_join(const char *device, int *mount_fd, struct dt_err *err) DT_MUST_CHECK;

/* disk_image.c */
int dt_disk_image_probe(struct dt_err *err) DT_MUST_CHECK;
int dt_disk_image_prepare(struct dt_disk_store *s, struct dt_disk_size size,
                          struct dt_err *err) DT_MUST_CHECK;
int dt_disk_image_make(struct dt_disk_store *s, int sandbox, struct dt_disk_size size,
                       struct dt_err *err) DT_MUST_CHECK;
/* A new file `name` of that size in the sandbox's directory; `from` is the image it begins with. */
int dt_disk_image_copy(int sandbox, const char *name, int from, uint64_t size,
                       const struct dt_disk_pulse *pulse, struct dt_err *err) DT_MUST_CHECK;
/* The file system of an image that nobody uses takes all of its file. */
int dt_disk_image_extend(int fd, struct dt_err *err) DT_MUST_CHECK;
/* Runs e2fsck -p when the superblock says that there are errors. */
int dt_disk_image_check(int fd, struct dt_err *err) DT_MUST_CHECK;

/* disk_project.c */
extern const char dt_disk_folder[];
/* Whether the file system of `dirfd` enforces project quotas. */
bool dt_disk_project_enforced(int dirfd);
/* The folder of a new disk, with limits a little above `size`; the caller owns it. What was put
 * into it becomes the disk, of that size, or goes when it is not ok (then -1, and `err` stays). */
int dt_disk_project_begin(int sandbox, struct dt_disk_size size, struct dt_err *err);
int dt_disk_project_finish(int sandbox, struct dt_disk_size size, bool ok,
                           struct dt_err *err) DT_MUST_CHECK;
int dt_disk_project_make(int sandbox, struct dt_disk_size size, struct dt_err *err) DT_MUST_CHECK;
int dt_disk_project_mount(int sandbox, int *mount_fd, struct dt_err *err) DT_MUST_CHECK;
int dt_disk_project_grow(int sandbox, struct dt_disk_size size, struct dt_err *err) DT_MUST_CHECK;
int dt_disk_project_usage(int sandbox, struct dt_disk_usage *usage,
                          struct dt_err *err) DT_MUST_CHECK;

/* disk_folder.c: disks that are folders, as streams. `size` is what limits them. */
int dt_disk_folder_size(int sandbox, struct dt_disk_size *size, struct dt_err *err) DT_MUST_CHECK;
int dt_disk_folder_save(int sandbox, struct dt_zfile_writer *w, const struct dt_disk_pulse *pulse,
                        struct dt_err *err) DT_MUST_CHECK;
int dt_disk_folder_compare(int sandbox, struct dt_zfile_reader *r,
                           const struct dt_disk_pulse *pulse, struct dt_err *err) DT_MUST_CHECK;
int dt_disk_folder_load(int sandbox, struct dt_disk_size size, struct dt_zfile_reader *r,
                        const struct dt_disk_pulse *pulse, struct dt_err *err) DT_MUST_CHECK;
int dt_disk_folder_copy(int from, int to, const struct dt_disk_pulse *pulse,
                        struct dt_err *err) DT_MUST_CHECK;

#endif
