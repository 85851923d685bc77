#include "runnerd/launcher/options.h"

#include <getopt.h>

#include "base/str.h"

enum { BANDWIDTH = 1000, BANDWIDTH_MAX = 100000 };

const char dt_launcher_usage[] =
    "usage: daytona-launcher --data-dir DIR --uid UID --gid GID (--fd N | --socket PATH)\n"
    "                        [--toolbox PATH] [--cgroup GROUP] [--bandwidth MBITS] [--once]\n"
    "       daytona-launcher --data-dir DIR [--cgroup GROUP] --purge\n"
    "       daytona-launcher --hold\n"
    "Creates sandboxes for daytona-runnerd, which runs as UID. Must be started by root.\n"
    "GROUP is a cgroup v2 group for all sandboxes, relative to the mount; without it, the top.\n"
    "Each may send and receive MBITS Mbit/s (1000; 0: no limit).\n"
    "--purge ends all sandboxes of DIR (their disks stay) and leaves nothing of them on the "
    "host.\n"
    "--hold keeps the group of its own service for other launchers to use as GROUP.\n";

static int parse_number(uint32_t max, uint32_t *ret, struct dt_err *err)
{
    unsigned long long n = 0;
    if (dt_str_u64(dt_str_z(optarg), max, &n) < 0)
        return dt_err_set(err, DT_E_INVALID, "'%s' is not a number up to %u", optarg, max);
    *ret = (uint32_t)n;
    return 0;
}

static int parse_option(struct dt_launcher_options *o, int which, struct dt_err *err)
{
    uint32_t number = 0;
    switch (which) {
    case 'd':
        o->data_dir = optarg;
        return 0;
    case 's':
        o->socket = optarg;
        return 0;
    case 't':
        o->toolbox = optarg;
        return 0;
    case 'c':
        o->cgroup = optarg;
        return 0;
    case 'o':
        o->once = true;
        return 0;
    case 'w':
        o->worker = true;
        return 0;
    case 'p':
        o->by_path = true;
        return 0;
    case 'h':
        o->hold = true;
        return 0;
    case 'e':
        o->purge = true;
        return 0;
    case 'f':
        if (parse_number(65535, &number, err) < 0)
            return -1;
        o->fd = (int)number;
        return 0;
    case 'u':
        o->have_ids = true;
        return parse_number(UINT32_MAX - 1, &o->uid, err);
    case 'g':
        return parse_number(UINT32_MAX - 1, &o->gid, err);
    case 'b':
        return parse_number(BANDWIDTH_MAX, &o->bandwidth, err);
    default:
        return dt_err_set(err, DT_E_INVALID, "unknown option");
    }
}

int dt_launcher_options_read(int argc, char **argv, struct dt_launcher_options *o,
                             struct dt_err *err)
{
    static const struct option known[] = {
        {"data-dir", required_argument, NULL, 'd'},
        {"uid", required_argument, NULL, 'u'},
        {"gid", required_argument, NULL, 'g'},
        {"fd", required_argument, NULL, 'f'},
        {"socket", required_argument, NULL, 's'},
        {"toolbox", required_argument, NULL, 't'},
        {"cgroup", required_argument, NULL, 'c'},
        {"bandwidth", required_argument, NULL, 'b'},
        {"once", no_argument, NULL, 'o'},
        {"worker", no_argument, NULL, 'w'},
        {"purge", no_argument, NULL, 'e'},
        {"hold", no_argument, NULL, 'h'},
        {"overlay-by-path", no_argument, NULL, 'p'}, /* for tests: what old kernels need */
        {NULL, 0, NULL, 0}};
    *o = (struct dt_launcher_options){.fd = -1, .cgroup = "", .bandwidth = BANDWIDTH};
    int which;
    while ((which = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (parse_option(o, which, err) < 0)
            return -1;
    }
    if (o->hold && optind == argc)
        return 0;
    bool one_door = (o->fd >= 0) != (o->socket != NULL);
    if (optind != argc || o->data_dir == NULL || o->data_dir[0] != '/' ||
        (!o->worker && !o->purge && (!o->have_ids || !one_door)))
        return dt_err_set(err, DT_E_INVALID, "wrong arguments (--data-dir must be absolute)");
    return 0;
}
