/*
 * Helper processes for file work that may take long: mounting disks, waiting until they are free,
 * deleting, archiving. The launcher executes itself as `daytona-launcher --worker`; a worker has a
 * mount namespace of its own, does one job after the other and is killed when the launcher ends.
 */
#ifndef DT_LAUNCHER_WORKER_H
#define DT_LAUNCHER_WORKER_H

#include <stdint.h>

#include "runnerd/launcher/loop.h"
#include "runnerd/launcher/wire.h"

enum dt_job_op {
    /* A folder pool/<serial> with a new disk and a listening socket: two descriptors come back, the
     * mount of the disk and the socket. */
    DT_JOB_DISK_NEW = 1,
    DT_JOB_DISK_OPEN = 2, /* the same two for sandboxes/<id> */
    DT_JOB_DISK_FREE = 3, /* answered when the disk of sandboxes/<id> is in use no more */
    DT_JOB_SWEEP = 4,     /* deletes what is in trash/ */
    /* Keeps the descriptor that comes along until CLOSE, by when the launcher has closed its own:
     * the last one of a disk unmounts it, 10 ms or more. Neither is answered. */
    DT_JOB_KEEP = 5,
    DT_JOB_CLOSE = 6,
    DT_JOB_VOLUME_NEW = 7,  /* makes volumes/<volume> */
    DT_JOB_VOLUME_OPEN = 8, /* one descriptor comes back: a mount of a folder of it */
    DT_JOB_SPARE = 9,       /* removes some loop devices; codes of dt_disk_spare() */

    /* The jobs of errands (errand.h). */
    DT_JOB_COPY = 16, /* a folder pool/<serial> with a copy of the disk of sandboxes/<other> */
    DT_JOB_FORK = 17, /* the same, and the two descriptors of DISK_NEW */
    /* Saves the disk of sandboxes/<id>, or with `serial` that of pool/<serial>, as
     * objects/<place>/<id>, and compares them. */
    DT_JOB_STORE = 18,
    DT_JOB_LOAD = 19, /* a folder pool/<serial> with the disk that objects/<place>/<id> has */
    DT_JOB_GROW = 20, /* the disk of sandboxes/<id> has `bytes` */
};

enum dt_job_place { DT_PLACE_ARCHIVES, DT_PLACE_BACKUPS };
/* Folders of the data directory; in them, what is not complete ends in DT_PART. */
extern const char *const dt_place_folders[2];
#define DT_PART ".part"

enum { DT_JOB_FOR_POOL = 0, DT_JOB_FOR_SANDBOX = 1 };

struct dt_job {
    uint32_t op;
    uint32_t uid, gid; /* of the socket */
    uint32_t tag;      /* handed back as it is */
    uint64_t serial;
    uint64_t bytes; /* DISK_NEW, VOLUME_NEW, GROW */
    uint8_t id[16]; /* of a sandbox */
    uint8_t other[16];
    uint32_t place; /* enum dt_job_place */
    uint8_t volume[16];
    char subpath[DT_LW_PATH_SIZE]; /* VOLUME_OPEN */
};

struct dt_job_done {
    struct dt_job job;
    uint32_t code;  /* enum dt_err_code */
    uint32_t alive; /* not done: it goes on working */
    char text[256];
};

enum { DT_JOB_FDS = 2 };

struct dt_worker {
    struct dt_loop *loop;
    const char *data_dir;
    int keep[2]; /* locks that must last as long as the worker, or -1 */
    /* `fds` are the callback's to close; -1 = none. */
    void (*done)(void *ctx, const struct dt_job_done *done, int fds[DT_JOB_FDS]);
    void (*died)(void *ctx);  /* its jobs are lost; dt_worker_start() makes a new one */
    void (*alive)(void *ctx); /* a job of an errand goes on; once a second or so; may be NULL */
    void *ctx;
    int nice;
    pid_t pid;
    struct dt_watch watch;
};

/* All fields up to `nice` are filled in. */
int dt_worker_start(struct dt_worker *w, struct dt_err *err) DT_MUST_CHECK;
void dt_worker_stop(struct dt_worker *w);
/* UNAVAILABLE when too many jobs wait. */
int dt_worker_send(struct dt_worker *w, const struct dt_job *job, struct dt_err *err) DT_MUST_CHECK;
/* Has the worker close `fd`, which the caller no longer owns. */
void dt_worker_close(struct dt_worker *w, int fd);

/* The body of the helper process: `sock` is its end. Returns when the launcher is gone. */
int dt_worker_run(int sock, const char *data_dir, struct dt_err *err) DT_MUST_CHECK;

/* The name of a UUID's folder, as everywhere in the data directory. */
#define DT_ID_TEXT_SIZE 37
void dt_id_text(const uint8_t id[16], char out[DT_ID_TEXT_SIZE]);
/* False when `text` is no UUID in its canonical form. */
bool dt_id_parse(const char *text, uint8_t id[16]);
/* The socket of a sandbox, in its folder. */
#define DT_TOOLBOX_SOCKET "toolbox.sock"

#endif
