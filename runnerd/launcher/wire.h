/*
 * What daytona-runnerd may ask of daytona-launcher, over one SOCK_SEQPACKET connection.
 *
 * Fixed frames, no strings as paths, no JSON: a frame is struct dt_lw_request, an answer is
 * struct dt_lw_answer with the same `seq`. Answers come in any order (STOP and DESTROY wait).
 * Events are answers with seq 0. Every id, count, flag and size is range-checked; a frame of
 * another size, an unknown op, a bad version, or an op that is not allowed in the current state
 * ends the connection. Descriptors travel only where the op says so (SCM_RIGHTS); others are
 * closed.
 */
#ifndef DT_LAUNCHER_WIRE_H
#define DT_LAUNCHER_WIRE_H

#include <stdint.h>

enum {
    DT_LW_VERSION = 3,
    DT_LW_LAYERS_MAX = 64,
    DT_LW_CIDRS_MAX = 5,
    DT_LW_VOLUMES_MAX = 8,
    DT_LW_PATH_SIZE = 256,  /* of a volume's paths, with the end */
    DT_LW_LIST_MAX = 128,   /* sandboxes in one LIST answer */
    DT_LW_SOCKETS_MAX = 16, /* in one SOCKETS answer */
};

enum dt_lw_op {
    DT_LW_HELLO = 1, /* first, once: flags = 0 */
    /* Makes the sandbox's disk and starts it. One descriptor comes along: a sealed memfd with the
     * toolbox's configuration (JSON, at most 256 KiB), which the launcher does not read: it becomes
     * descriptor 4 of the toolbox. Fails EXISTS when the id is on disk already. Answered when the
     * toolbox's listening socket exists and pid 1 is confined and executes it: connects queue in
     * the kernel. Should that fail, EXITED follows. NO_NETWORK when the spec needs one and there is
     * none. */
    DT_LW_CREATE = 2,
    DT_LW_START = 3, /* the same with the disk it has; NOT_FOUND without one, BUSY when it runs */
    DT_LW_STOP = 4,  /* SIGTERM to pid 1, after grace_ms kill the cgroup; answered when all is gone
                        but the disk, and the disk is no longer in use */
    DT_LW_DESTROY = 5, /* kill now, free everything; the files go to trash before the answer */
    DT_LW_LIST = 6,    /* ids on disk, running or not, and archived ones, from `cursor` on */
    DT_LW_STATS = 7,   /* one sandbox: memory, cpu time, pids, disk */
    DT_LW_VOLUME_CREATE = 8, /* `id` is the volume's, `bytes` its size; EXISTS when it is there */
    DT_LW_VOLUME_DELETE = 9, /* its files go to trash; BUSY while a process of a sandbox has it */
    /* `count` unconnected, non-blocking TCP sockets of `family` in the network namespace of a
     * running sandbox; they come with the answer. NOT_FOUND when it does not run; BUSY when too
     * many answers wait to be read. A socket keeps the namespace alive. */
    DT_LW_SOCKETS = 10,

    /* The spec's memory, cpu and disk are what it has from now on. A running one keeps its disk; of
     * one that does not run only the disk is changed, and it never shrinks. Once more is fine. */
    DT_LW_RESIZE = 16,
    DT_LW_NETWORK = 17, /* a running one has the spec's rules from now on */
    DT_LW_PAUSE = 18,   /* all its processes are frozen; fine when they are already */
    DT_LW_RESUME = 19,
    /* Its files go to the object store and its disk is freed. BUSY when it runs. */
    DT_LW_ARCHIVE = 20,
    /* The way back, from the archive or else the backup; EXISTS when it has a disk: nothing to do.
     * NOT_FOUND when there is neither. */
    DT_LW_RESTORE = 21,
    /* A copy of its files as they are at one moment goes to the object store. CANCELLED when it was
     * stopped, started or destroyed before the copy was complete. */
    DT_LW_BACKUP = 22,
    /* CREATE with a copy of the disk that `other` has at one moment, which may run. */
    DT_LW_FORK = 23,
    /* Ends an ARCHIVE, BACKUP or RESTORE, which is answered CANCELLED unless it is over; nothing is
     * lost by that. OK when there was none. */
    DT_LW_CANCEL = 24,
};

enum dt_lw_result {
    DT_LW_OK = 0,
    DT_LW_EXISTS = 1,
    DT_LW_NOT_FOUND = 2,
    DT_LW_BUSY = 3,
    DT_LW_NO_LAYER = 4,   /* a layer that is not in the store */
    DT_LW_NO_SPACE = 5,   /* disk, slots or memory of the host */
    DT_LW_FAILED = 6,     /* `text` says what */
    DT_LW_BAD_PATH = 7,   /* a path of a volume leads through a link or a file */
    DT_LW_NO_NETWORK = 8, /* the host has none for sandboxes so far; `text` says why */
    DT_LW_CANCELLED = 16,
};

enum dt_lw_event {
    DT_LW_EXITED = 1, /* a sandbox ended by itself: status as of waitpid, or -1 when unknown */
    /* There is a network for sandboxes, which HELLO had to deny: what it said, as it is now. */
    DT_LW_NETWORK_UP = 2,
};

enum dt_lw_net { DT_LW_NET_FULL = 0, DT_LW_NET_NONE = 1, DT_LW_NET_ALLOW = 2 };

enum dt_lw_family { DT_LW_IPV4 = 4, DT_LW_IPV6 = 6 };

struct dt_lw_cidr {
    uint32_t addr; /* host byte order, host bits zero */
    uint32_t prefix;
};

/* Every path is text without control characters in which '/' separates names that are neither empty
 * nor `.` nor `..`; behind its end there are zeros. */
struct dt_lw_volume {
    uint8_t id[16];
    char path[DT_LW_PATH_SIZE]; /* where it is mounted: absolute, not in /proc, /sys or /dev */
    char
        subpath[DT_LW_PATH_SIZE]; /* the folder of the volume that is mounted: relative, or empty */
};

struct dt_lw_spec {
    uint64_t memory_bytes; /* 16 MiB .. 1 TiB */
    uint64_t disk_bytes;   /* 64 MiB .. 16 TiB, multiple of 1 MiB */
    uint32_t cpu_millis;   /* 10 .. 1,024,000; 1000 = one cpu */
    uint32_t pids;         /* 16 .. 65,536 */
    uint32_t net;          /* enum dt_lw_net */
    uint32_t ncidrs;
    struct dt_lw_cidr cidrs[DT_LW_CIDRS_MAX];
    uint32_t nlayers;                     /* lowest first; 0 = an empty root */
    uint8_t layers[DT_LW_LAYERS_MAX][32]; /* chain ids: layers/<hex> in the data directory */
    char hostname[64];                    /* [a-z0-9-], terminated */
    uint32_t nvolumes;
    struct dt_lw_volume volumes[DT_LW_VOLUMES_MAX]; /* a path inside another's comes after it */
};

struct dt_lw_request {
    uint32_t version;
    uint32_t op;
    uint64_t seq;           /* not 0 */
    uint8_t id[16];         /* the UUID of a sandbox or a volume; all zero for HELLO and LIST */
    uint32_t grace_ms;      /* STOP, at most 60,000 */
    uint32_t cursor;        /* LIST */
    uint64_t bytes;         /* VOLUME_CREATE: as disk_bytes */
    uint32_t count;         /* SOCKETS, 1 .. DT_LW_SOCKETS_MAX */
    uint32_t family;        /* SOCKETS, enum dt_lw_family */
    uint8_t other[16];      /* FORK: whose disk */
    struct dt_lw_spec spec; /* CREATE, FORK, START, RESIZE and NETWORK, else all zero */
};

struct dt_lw_item {
    uint8_t id[16];
    uint64_t cpu_usec; /* that it has taken since it was started; 0 when it does not run */
    uint32_t running;
    uint32_t has_disk;
    uint32_t paused;
    uint32_t archived; /* its files are in the object store */
};

struct dt_lw_list {
    uint32_t count;
    uint32_t next; /* cursor of the next page, 0 = this was the last */
    struct dt_lw_item items[DT_LW_LIST_MAX];
};

struct dt_lw_stats {
    uint64_t memory_bytes, memory_limit;
    uint64_t cpu_usec;
    uint64_t pids;
    uint64_t disk_used, disk_total; /* bytes; 0 when it does not run */
    uint64_t oom_kills;
    uint64_t cache_bytes; /* of memory_bytes; 0 also from a launcher that does not tell */
};

/* The answer to HELLO, and NETWORK_UP. */
struct dt_lw_hello {
    uint32_t version;
    uint32_t instance;     /* 0..15, this data directory's number on this host */
    uint32_t network_base; /* host byte order: this instance's /20 */
    uint32_t has_network;  /* 0 when the host cannot route for sandboxes so far; `text` says why */
};

struct dt_lw_answer {
    uint32_t version;
    uint32_t op; /* of the request; for events enum dt_lw_event */
    uint64_t seq;
    uint8_t id[16];
    uint32_t result; /* enum dt_lw_result */
    int32_t status;  /* EXITED */
    uint32_t oom;    /* EXITED: the memory limit killed it */
    uint32_t
        addr; /* CREATE, START: the sandbox's IPv4 address, host byte order, 0 without network */
    char text[256];
    union {
        struct dt_lw_hello hello;
        struct dt_lw_list list;
        struct dt_lw_stats stats;
    } u;
};

#endif
