/* What the parts of daytona-runnerd share. Everything here belongs to the loop. */
#ifndef DT_RUNNERD_H
#define DT_RUNNERD_H

#include <uv.h>

#include "db/db.h"
#include "gen/config_runnerd.h"
#include "net/http_server.h"
#include "runnerd/holdings.h"
#include "model/limit.h"
#include "model/volume.h"
#include "runnerd/audit/audit.h"
#include "runnerd/client.h"
#include "runnerd/host.h"
#include "runnerd/identity/oidc.h"
#include "runnerd/identity/peers.h"
#include "runnerd/identity/principal.h"
#include "runnerd/identity/services.h"
#include "runnerd/launcher_client.h"
#include "runnerd/lifecycle_wait.h"
#include "runnerd/live.h"
#include "runnerd/mail.h"
#include "runnerd/metrics.h"
#include "runnerd/notify/audience.h"
#include "runnerd/region.h"
#include "runnerd/remote.h"
#include "runnerd/runner.h"
#include "runnerd/signed.h"
#include "runnerd/vault.h"

struct dt_volume_op;
struct dt_volume_row;

struct dt_runnerd {
    uv_loop_t *loop;
    const struct dt_config_runnerd *config;
    char *proxy_domain;   /* with port */
    char *proxy_template; /* with {{PORT}} and {{sandboxId}} */
    char *toolbox_base;   /* where clients find /toolbox/{id} */
    char *api_url;        /* without /api */
    char *dashboard_url;
    uint16_t port, proxy_port;
    uint8_t secret[DT_SECRET_SIZE];
    int sandboxes; /* O_PATH: <id>/toolbox.sock below it */
    struct dt_db *db;
    struct dt_launcher_client *launcher;
    struct dt_lw_hello hello;
    struct dt_op_queue waiting; /* for a launcher */
    struct dt_live_table live;
    struct dt_upstream_totals upstreams;
    struct dt_holdings *holdings;
    struct dt_directory directory;
    struct dt_peers peers;
    struct dt_services services;
    struct dt_trusted trusted;
    struct dt_audit *audit;
    struct dt_vault vault;
    struct dt_regions regions;
    struct dt_remotes remotes;
    struct dt_runner runner;
    struct dt_host host;
    struct dt_limits *limits; /* NULL: no request is counted */
    struct dt_metrics metrics;
    int64_t started_ms;   /* real time */
    char boot[9];         /* in the ids of requests: another one at each start */
    struct dt_oidc *oidc; /* NULL: access tokens are not accepted */
    struct dt_signed_table signed_urls;
    struct dt_volume_op *volume_ops; /* that are under way */
    struct dt_mail *mail;            /* NULL: there is none */
    struct dt_http_server *api, *proxy;
    uv_timer_t tick;
    uint64_t last_request_ms; /* monotonic, for the idle exit */
    uint64_t ticks;
    bool sampling; /* sampler.c goes its round */
    bool listed;   /* the first comparison with the launcher is done */
    bool stopping;
    int exit_code;
    void (*on_ready)(struct dt_runnerd *rd); /* once, when `listed` becomes true */
    struct dt_watcher *watchers;             /* api_changes.c */
    unsigned nwatchers;
    struct dt_poll *polls; /* api_jobs.c */
    unsigned npolls;
    /* What GET shows of a sandbox of `org` is another thing from now on; before that is answered.
     * Its times of activity do not count. */
    void (*on_change)(struct dt_runnerd *rd, const char *org, const char *id);
    struct dt_audience audience;
    /* What the notification socket tells of; each may be NULL. After the commit, before it is
     * answered. `before` is what was so far; NULL: it is new. */
    void (*on_sandbox)(struct dt_runnerd *rd, const struct dt_sandbox_row *row,
                       const struct dt_live *before);
    void (*on_volume)(struct dt_runnerd *rd, const struct dt_volume_row *row,
                      const enum dt_volume_state *before);
};

/* Starts an orderly end of the program. */
void dt_runnerd_stop(struct dt_runnerd *rd, int exit_code);

#endif
