/*
 * hog KIND AMOUNT
 *
 * Takes as much of one thing as it gets, up to AMOUNT (MiB of memory, else a count), prints
 * `took N: REASON` and keeps it until it is killed. REASON is what ended it, or `enough`.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, CHUNK = 64 * 1024, PAGE = 4096 };

static char chunk[CHUNK];

/* Each takes the n-th piece: 0, or -1 with errno. */
typedef int take(long n);

static int touch(char *p, size_t n)
{
    if (p == MAP_FAILED)
        return -1;
    for (size_t i = 0; i < n; i += PAGE)
        p[i] = 1;
    return 0;
}

static int anon(long n)
{
    (void)n;
    return touch(mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MIB);
}

static int locked(long n)
{
    (void)n;
    void *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? -1 : mlock(p, MIB);
}

/* A page for each page table, 2 MiB apart. */
static int tables(long n)
{
    const size_t apart = 2 * MIB;
    (void)n;
    for (int i = 0; i < MIB / PAGE; i++) {
        char *p = mmap(NULL, apart, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (touch(p, 1) < 0)
            return -1;
    }
    return 0;
}

static int write_mib(int fd)
{
    for (size_t done = 0; done < MIB;) {
        size_t left = MIB - done;
        ssize_t n = write(fd, chunk, left < CHUNK ? left : CHUNK);
        if (n < 0)
            return -1; /* a write that was cut short does not say why; the next one does */
        done += (size_t)n;
    }
    return 0;
}

static int file_on(const char *path)
{
    static int fd = -1;
    if (fd < 0)
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : write_mib(fd);
}

static int shm(long n)
{
    (void)n;
    return file_on("/dev/shm/hog");
}

static int cache(long n)
{
    (void)n;
    return file_on("/tmp/hogged");
}

static int memfd(long n)
{
    static int fd = -1;
    (void)n;
    if (fd < 0)
        fd = memfd_create("hog", MFD_CLOEXEC);
    return fd < 0 ? -1 : write_mib(fd);
}

static int fill(int fd)
{
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return -1;
    while (write(fd, chunk, CHUNK) > 0)
        ;
    return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
}

static int pipes(long n)
{
    (void)n;
    for (int i = 0; i < 16; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) < 0)
            return -1;
        (void)fcntl(ends[1], F_SETPIPE_SZ, MIB / 16);
        if (fill(ends[1]) < 0)
            return -1;
    }
    return 0;
}

static int sockets(long n)
{
    (void)n;
    for (int i = 0; i < 4; i++) {
        int ends[2], size = MIB / 4;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ||
            setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ||
            fill(ends[0]) < 0)
            return -1;
    }
    return 0;
}

static int sysv(long n)
{
    (void)n;
    int id = shmget(IPC_PRIVATE, MIB, IPC_CREAT | 0600);
    char *p = id < 0 ? (char *)-1 : shmat(id, NULL, 0);
    if (p == (char *)-1 || touch(p, MIB) < 0)
        return -1;
    return shmdt(p);
}

static int messages(long n)
{
    struct {
        long type;
        char text[8000];
    } m = {.type = 1};
    (void)n;
    for (int i = 0; i < MIB / 16384; i++) {
        int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
        if (id < 0 || msgsnd(id, &m, sizeof(m.text), IPC_NOWAIT) < 0)
            return -1;
        (void)msgsnd(id, &m, sizeof(m.text), IPC_NOWAIT);
    }
    return 0;
}

static int semaphores(long n)
{
    (void)n;
    return semget(IPC_PRIVATE, 250, IPC_CREAT | 0600) < 0 ? -1 : 0;
}

static int queues(long n)
{
    char name[32];
    struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 8192};
    (void)snprintf(name, sizeof(name), "/hog-%d-%ld", (int)getpid(), n);
    mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr);
    if (q == (mqd_t)-1)
        return -1;
    while (mq_send(q, chunk, 8192, 0) == 0)
        ;
    return mq_close(q);
}

static int files(long n)
{
    (void)n;
    return open("/dev/null", O_RDONLY | O_CLOEXEC) < 0 ? -1 : 0;
}

static int inodes(long n)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/hog-%ld", n);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : close(fd);
}

static int sparse(long n)
{
    static int fd = -1;
    (void)n;
    if (fd < 0)
        fd = open("/tmp/hogged", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : fallocate(fd, 0, (off_t)n * MIB, MIB);
}

static int instances(long n)
{
    (void)n;
    return inotify_init1(IN_CLOEXEC) < 0 ? -1 : 0;
}

static int watches(long n)
{
    static int fd = -1;
    char path[64];
    if (fd < 0)
        fd = inotify_init1(IN_CLOEXEC);
    (void)snprintf(path, sizeof(path), "/dev/shm/hog-%ld", n);
    if (fd < 0 || mkdir(path, 0700) < 0)
        return -1;
    return inotify_add_watch(fd, path, IN_ALL_EVENTS) < 0 ? -1 : 0;
}

static int epolls(long n)
{
    static int pair[2] = {-1, -1};
    (void)n;
    if (pair[0] < 0 && pipe2(pair, O_CLOEXEC) < 0)
        return -1;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN};
    return fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, pair[0], &e) < 0 ? -1 : 0;
}

static int timers(long n)
{
    (void)n;
    timer_t t;
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    return timer_create(CLOCK_MONOTONIC, &e, &t);
}

static int ptys(long n)
{
    (void)n;
    return open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC) < 0 ? -1 : 0;
}

static int names(long n)
{
    struct stat st;
    char path[64];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(path, sizeof(path), "/tmp/no-such-file-of-a-long-name-%ld-%d", n, i);
        (void)stat(path, &st);
    }
    return 0;
}

static void *wait_for_ever(void *arg)
{
    (void)pause();
    return arg;
}

static int threads(long n)
{
    pthread_t t;
    (void)n;
    errno = pthread_create(&t, NULL, wait_for_ever, NULL);
    return errno != 0 ? -1 : 0;
}

static int processes(long n)
{
    (void)n;
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            (void)pause();
    return pid < 0 ? -1 : 0;
}

static int zombies(long n)
{
    (void)n;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid < 0 ? -1 : 0;
}

/* The child leaves its own child to pid 1, which has to reap it. */
static int orphans(long n)
{
    (void)n;
    for (int tries = 0; tries < 1000; tries++) {
        pid_t pid = vfork();
        if (pid == 0) {
            pid_t inner = vfork();
            _exit(inner < 0 ? 1 : 0);
        }
        int status = 1;
        if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
            return 0;
        (void)usleep(1000); /* pid 1 has more to do than it can */
    }
    return -1;
}

static const struct {
    const char *name;
    take *take;
} kinds[] = {
    {"anon", anon},           {"locked", locked},
    {"tables", tables},       {"shm", shm},
    {"cache", cache},         {"memfd", memfd},
    {"pipes", pipes},         {"sockets", sockets},
    {"sysv", sysv},           {"messages", messages},
    {"queues", queues},       {"semaphores", semaphores},
    {"files", files},         {"inodes", inodes},
    {"sparse", sparse},       {"instances", instances},
    {"watches", watches},     {"epolls", epolls},
    {"timers", timers},       {"ptys", ptys},
    {"names", names},         {"threads", threads},
    {"processes", processes}, {"zombies", zombies},
    {"orphans", orphans},
};

static void raise_files(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
}

int main(int argc, char **argv)
{
    take *one = NULL;
    for (size_t i = 0; argc == 3 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(argv[1], kinds[i].name) == 0)
            one = kinds[i].take;
    if (one == NULL) {
        (void)fprintf(stderr, "usage: hog KIND AMOUNT\n");
        return 2;
    }
    long n = 0, most = strtol(argv[2], NULL, 10);
    raise_files();
    while (n < most && one(n) == 0)
        n++;
    const char *why = n < most ? strerrorname_np(errno) : "enough";
    (void)printf("took %ld: %s\n", n, why != NULL ? why : "an unknown error");
    (void)fflush(stdout);
    for (;;)
        (void)pause();
}
