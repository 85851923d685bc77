#include "runnerd/host.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

enum { TEXT_MAX = 8192 };

static const double GIB = 1024.0 * 1024 * 1024;

void dt_host_open(struct dt_host *h, const char *data_dir)
{
    *h = (struct dt_host){
        .stat = open("/proc/stat", O_RDONLY | O_CLOEXEC),
        .meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC),
        .statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC),
        .fds = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .disk = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
    };
    dt_host_tick(h);
}

void dt_host_close(struct dt_host *h)
{
    const int fds[] = {h->stat, h->meminfo, h->statm, h->fds, h->disk};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0)
            (void)close(fds[i]);
    }
    h->stat = h->meminfo = h->statm = h->fds = h->disk = -1;
}

/* Files of /proc say what is now at each read from the beginning. */
static bool read_text(int fd, char text[TEXT_MAX])
{
    ssize_t n = fd >= 0 ? pread(fd, text, TEXT_MAX - 1, 0) : -1;
    if (n <= 0)
        return false;
    text[n] = '\0';
    return true;
}

void dt_host_tick(struct dt_host *h)
{
    char text[TEXT_MAX];
    uint64_t t[8] = {0}, total = 0;
    if (!read_text(h->stat, text) ||
        sscanf(text,
               "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %" SCNu64,
               &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) < 4)
        return;
    for (int i = 0; i < 8; i++)
        total += t[i];
    uint64_t busy = total - t[3] - t[4]; /* idle, and waiting for disks */
    if (h->total > 0 && total > h->total && busy >= h->busy)
        h->cpu_percent = 100.0 * (double)(busy - h->busy) / (double)(total - h->total);
    h->busy = busy;
    h->total = total;
}

static double meminfo_kib(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    uint64_t v = 0;
    if (at == NULL || sscanf(at + strlen(name), ": %" SCNu64, &v) != 1)
        return 0;
    return (double)v;
}

void dt_host_read(const struct dt_host *h, struct dt_host_figures *ret)
{
    char text[TEXT_MAX];
    struct sysinfo info;
    struct statvfs disk;
    cpu_set_t cpus;
    *ret = (struct dt_host_figures){.cpu_percent = h->cpu_percent};
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
        ret->cpus = CPU_COUNT(&cpus);
    if (sysinfo(&info) == 0) {
        ret->memory_gib = (double)info.totalram * info.mem_unit / GIB;
        ret->load = (double)info.loads[0] / (1 << SI_LOAD_SHIFT);
    }
    if (read_text(h->meminfo, text)) {
        double total = meminfo_kib(text, "MemTotal"), free = meminfo_kib(text, "MemAvailable");
        ret->memory_percent = total > 0 ? 100.0 * (total - free) / total : 0;
    }
    if (h->disk >= 0 && fstatvfs(h->disk, &disk) == 0 && disk.f_blocks > 0) {
        ret->disk_gib = (double)disk.f_blocks * (double)disk.f_frsize / GIB;
        ret->disk_percent = 100.0 * (double)(disk.f_blocks - disk.f_bavail) / (double)disk.f_blocks;
    }
}

static unsigned count_files(int folder)
{
    unsigned n = 0;
    int fd = folder >= 0 ? fcntl(folder, F_DUPFD_CLOEXEC, 0) : -1;
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return 0;
    }
    rewinddir(d); /* the copy has the place of the original */
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        n += e->d_name[0] != '.';
    (void)closedir(d);
    return n > 0 ? n - 1 : 0; /* without the one that counts */
}

void dt_host_read_process(const struct dt_host *h, struct dt_process_figures *ret)
{
    char text[TEXT_MAX];
    struct rusage use;
    uint64_t pages = 0, resident = 0, size = (uint64_t)sysconf(_SC_PAGESIZE);
    *ret = (struct dt_process_figures){.open_files = count_files(h->fds)};
    if (read_text(h->statm, text) && sscanf(text, "%" SCNu64 " %" SCNu64, &pages, &resident) == 2) {
        ret->virtual_bytes = pages * size;
        ret->resident_bytes = resident * size;
    }
    if (getrusage(RUSAGE_SELF, &use) == 0)
        ret->cpu_usec = (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000 +
                        (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}
