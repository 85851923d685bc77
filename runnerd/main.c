/*
 * daytona-runnerd: the REST API, the store, the reconciler and the preview proxy. Runs without any
 * privilege; what needs root is asked of daytona-launcher.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/notify.h"
#include "db/migrate.h"
#include "net/dns.h"
#include "net/tls.h"
#include "runnerd/api/api.h"
#include "runnerd/api/api_events.h"
#include "runnerd/cmd_audit.h"
#include "runnerd/cmd_snapshot.h"
#include "runnerd/confine.h"
#include "runnerd/identity/bootstrap.h"
#include "runnerd/identity/directory_store.h"
#include "runnerd/keyfile.h"
#include "runnerd/network.h"
#include "runnerd/preview/preview.h"
#include "runnerd/privilege.h"
#include "runnerd/settings.h"

enum {
    EXIT_IN_USE = 75, /* EX_TEMPFAIL: another one serves this data directory, or is about to */
};
enum {
    TICK_MS = 10000,
    AUDIT_TICKS = 60,
    GRACE_MS = 2000,
    READY_MS = 5000,
    LAUNCHER_END_MS = 10000
};

/* The program's own: what no other part needs. */
struct program {
    struct dt_runnerd rd;
    struct dt_settings settings;
    char first_key[DT_API_KEY_SIZE];
    char socket[4200];
    pid_t launcher; /* the child; 0 = none */
    int launcher_fd;
    uv_signal_t term, interrupt, child;
    uv_timer_t late;
    struct dt_snapshot_watch *snapshots;
    bool listening;
    int servers; /* that still stop */
};

/* --- the end --- */

static void close_rest(struct program *p)
{
    struct dt_runnerd *rd = &p->rd;
    rd->oidc = dt_oidc_free(rd->oidc);
    rd->mail = dt_mail_free(rd->mail);
    p->snapshots = dt_snapshot_watch_free(p->snapshots);
    rd->launcher = dt_launcher_client_free(rd->launcher);
    rd->db = dt_db_close(rd->db);
    dt_live_clear(&rd->live);
    dt_signed_clear(&rd->signed_urls);
    uv_handle_t *const handles[] = {(uv_handle_t *)&p->term,  (uv_handle_t *)&p->interrupt,
                                    (uv_handle_t *)&p->child, (uv_handle_t *)&p->late,
                                    (uv_handle_t *)&rd->tick, (uv_handle_t *)&rd->waiting.timer};
    for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++)
        uv_close(handles[i], NULL);
}

static void on_server_stopped(void *ctx)
{
    struct program *p = ctx;
    if (--p->servers == 0)
        close_rest(p);
}

void dt_runnerd_stop(struct dt_runnerd *rd, int exit_code)
{
    struct program *p = rd->loop->data;
    if (rd->stopping)
        return;
    rd->stopping = true;
    rd->exit_code = exit_code;
    dt_log(DT_LOG_INFO, "stopping; sandboxes go on", NULL);
    p->servers = 2;
    dt_api_changes_end(rd, true);
    dt_api_polls_end(rd, NULL);
    dt_audience_end(rd);
    dt_op_wait_end(rd);
    dt_http_server_stop(rd->api, GRACE_MS, on_server_stopped, p);
    dt_http_server_stop(rd->proxy, GRACE_MS, on_server_stopped, p);
}

/* Only after our connection to it is closed; it ends by itself then. */
static void wait_for_launcher(pid_t pid)
{
    uint64_t end = dt_clock_ms() + LAUNCHER_END_MS;
    while (pid > 0 && waitpid(pid, NULL, WNOHANG) == 0) {
        if (dt_clock_ms() > end) {
            dt_log(DT_LOG_WARN, "the launcher does not end", NULL);
            return;
        }
        (void)usleep(2000);
    }
}

/* Nobody should find a server that is gone. The lock is still ours. */
static void remove_files(const struct program *p)
{
    char path[4200];
    (void)snprintf(path, sizeof(path), "%s/run/ports.json", p->settings.data_dir);
    if (p->listening) {
        (void)unlink(path);
        (void)unlink(p->socket);
    }
}

/* --- listening --- */

static int write_ports(struct program *p, struct dt_err *err)
{
    char path[4200], text[256];
    (void)snprintf(path, sizeof(path), "%s/run/ports.json", p->settings.data_dir);
    int n = snprintf(text, sizeof(text), "{\"pid\":%d,\"port\":%u,\"proxyPort\":%u}\n",
                     (int)getpid(), p->rd.port, p->rd.proxy_port);
    return dt_fd_replace(AT_FDCWD, path, text, (size_t)n, 0644, err);
}

static int listen_tcp(struct dt_http_server *s, const char *host, int64_t port, uint16_t *actual,
                      struct dt_err *err)
{
    struct dt_err ignored;
    if (dt_http_server_listen_tcp(s, host, (uint16_t)port, actual, err) < 0)
        return dt_err_wrap(err, "listen on %s port %lld (another one can be given by a setting)",
                           host, (long long)port);
    /* `localhost` may resolve to either. */
    if (strcmp(host, "127.0.0.1") == 0)
        (void)!dt_http_server_listen_tcp(s, "::1", *actual, NULL, &ignored);
    return 0;
}

/* Socket addresses are short: a long data directory is reached through a descriptor. */
static int listen_unix(struct program *p, struct dt_err *err)
{
    const char *set = p->settings.config.daytona_socket;
    char path[128];
    (void)snprintf(p->socket, sizeof(p->socket), "%s%s",
                   set != NULL && set[0] != '\0' ? set : p->settings.data_dir,
                   set != NULL && set[0] != '\0' ? "" : "/run/runnerd.sock");
    if (strlen(p->socket) < 100)
        return dt_http_server_listen_unix(p->rd.api, p->socket, 0666, err);
    char folder[4200];
    (void)snprintf(folder, sizeof(folder), "%s", p->socket);
    char *slash = strrchr(folder, '/');
    *slash = '\0';
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return dt_err_errno(err, "%s", folder);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%.64s", fd, slash + 1);
    return dt_http_server_listen_unix(p->rd.api, path, 0666, err);
}

static int start_listening(struct program *p, struct dt_err *err)
{
    const struct dt_config_runnerd *c = p->rd.config;
    struct dt_runnerd *rd = &p->rd;
    p->listening = true;
    if (listen_tcp(rd->api, c->daytona_listen, c->port, &rd->port, err) < 0 ||
        listen_tcp(rd->proxy, c->daytona_listen, c->proxy_port, &rd->proxy_port, err) < 0 ||
        dt_settings_urls(rd, err) < 0 || listen_unix(p, err) < 0 || write_ports(p, err) < 0)
        return -1;
    if (p->first_key[0] != '\0')
        (void)printf("export DAYTONA_API_URL=%s/api\nexport DAYTONA_API_KEY=%s\n", rd->api_url,
                     p->first_key);
    if (c->port == 0 || c->proxy_port == 0)
        (void)printf("# API port %u, preview port %u\n", rd->port, rd->proxy_port);
    (void)fflush(stdout);
    explicit_bzero(p->first_key, sizeof(p->first_key));
    char port[8], proxy_port[8];
    (void)snprintf(port, sizeof(port), "%u", rd->port);
    (void)snprintf(proxy_port, sizeof(proxy_port), "%u", rd->proxy_port);
    dt_log(DT_LOG_INFO, "listening", "version", DT_VERSION, "port", port, "proxyPort", proxy_port,
           "socket", p->socket, "dataDir", p->settings.data_dir, NULL);
    dt_notify_ready();
    return 0;
}

static void listen_once(struct program *p)
{
    struct dt_err err;
    if (p->listening || p->rd.stopping || start_listening(p, &err) == 0)
        return;
    (void)fprintf(stderr, "daytona-runnerd: %s\n", err.msg);
    dt_runnerd_stop(&p->rd, 1);
}

static void on_ready(struct dt_runnerd *rd)
{
    listen_once(rd->loop->data);
}

/* Without a launcher there is still a list of sandboxes to show. */
static void on_late(uv_timer_t *t)
{
    listen_once(t->data);
}

/* --- the launcher --- */

static void open_sandboxes(struct program *p)
{
    char path[4200];
    (void)snprintf(path, sizeof(path), "%s/sandboxes", p->settings.data_dir);
    if (p->rd.sandboxes < 0)
        p->rd.sandboxes = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void on_up(void *ctx, const struct dt_lw_answer *hello)
{
    struct program *p = ctx;
    p->rd.hello = hello->u.hello;
    open_sandboxes(p);
    if (!p->rd.hello.has_network)
        dt_log(DT_LOG_WARN, "sandboxes have no network", "why", hello->text, NULL);
    dt_reconcile(&p->rd);
    dt_op_wait_over(&p->rd);
    for (struct dt_live *l = dt_live_next(&p->rd.live, NULL); l != NULL;
         l = dt_live_next(&p->rd.live, l))
        dt_upstreams_retry(l);
}

static void on_down(void *ctx, bool fatal, const struct dt_err *err)
{
    struct program *p = ctx;
    if (p->rd.stopping)
        return;
    dt_log(fatal ? DT_LOG_ERROR : DT_LOG_WARN, "launcher", "err", err->msg, NULL);
    if (fatal)
        dt_runnerd_stop(&p->rd, 1);
}

static void on_exited(void *ctx, const struct dt_lw_answer *event)
{
    struct program *p = ctx;
    dt_lifecycle_exited(&p->rd, event);
}

static void on_network(void *ctx, const struct dt_lw_answer *event)
{
    struct program *p = ctx;
    p->rd.hello = event->u.hello;
    dt_log(DT_LOG_INFO, "sandboxes have a network now", NULL);
}

static void on_child(uv_signal_t *s, int number)
{
    struct program *p = s->data;
    int status;
    char text[32];
    (void)number;
    if (p->launcher <= 0 || waitpid(p->launcher, &status, WNOHANG) != p->launcher)
        return;
    p->launcher = 0;
    (void)snprintf(text, sizeof(text), "%s %d", WIFSIGNALED(status) ? "signal" : "status",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (!p->rd.stopping)
        dt_log(DT_LOG_ERROR, "the launcher ended", "how", text, NULL);
    dt_runnerd_stop(&p->rd, 1);
}

/* --- by the clock --- */

static void check_idle(struct program *p)
{
    struct dt_runnerd *rd = &p->rd;
    uint64_t limit = (uint64_t)rd->config->daytona_idle_exit * 60000;
    for (struct dt_live *l = dt_live_next(&rd->live, NULL); l != NULL;
         l = dt_live_next(&rd->live, l)) {
        if (l->busy || l->backing_up || l->exchanges > 0 || l->state == DT_SANDBOX_STARTED ||
            l->state == DT_SANDBOX_PAUSED)
            return;
    }
    if (limit > 0 && dt_clock_ms() - rd->last_request_ms >= limit)
        dt_runnerd_stop(rd, 0);
}

static void on_tick(uv_timer_t *t)
{
    struct program *p = t->data;
    if (p->rd.stopping)
        return;
    dt_timers_run(&p->rd);
    dt_api_changes_end(&p->rd, false);
    dt_api_runners_review(&p->rd);
    dt_audience_review(&p->rd);
    dt_host_tick(&p->rd.host);
    dt_peers_refresh(&p->rd.peers, p->rd.loop);
    if (p->rd.ticks % AUDIT_TICKS == 0)
        dt_audit_tick(p->rd.audit);
    check_idle(p);
}

static void on_signal(uv_signal_t *s, int number)
{
    struct program *p = s->data;
    (void)number;
    dt_runnerd_stop(&p->rd, 0);
}

/* --- the start --- */

static int add_live(void *ctx, struct dt_sandbox_row *r, struct dt_err *err)
{
    struct program *p = ctx;
    struct dt_live *l = dt_lifecycle_show(&p->rd, r);
    if (l == NULL)
        return dt_err_set(err, DT_E_NOMEM, "sandboxes");
    /* The program before may have ended between the commit of a limit and telling the launcher. */
    l->limit_due = dt_network_limit(&p->rd, r->org) != NULL;
    return 0;
}

static int add_signed(void *ctx, const struct dt_signed_row *r, struct dt_err *err)
{
    struct program *p = ctx;
    return dt_signed_add(&p->rd.signed_urls, r, err);
}

static int load_secret(struct program *p, struct dt_err *err)
{
    char path[4200];
    (void)snprintf(path, sizeof(path), "%s/state/secret", p->settings.data_dir);
    if (dt_keyfile_load(path, p->rd.secret, err) < 0)
        return dt_err_wrap(err, "remove it to get a new one");
    return 0;
}

static int load_store(struct program *p, struct dt_err *err)
{
    char path[4200];
    const char *admin = p->settings.config.admin_api_key;
    (void)snprintf(path, sizeof(path), "%s/state/daytona.db", p->settings.data_dir);
    if (access(path, R_OK | W_OK) < 0) {
        (void)dt_err_errno(err, "%s", path);
        return dt_err_wrap(err, "user %u cannot get there (folders above may need chmod o+x)",
                           geteuid());
    }
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
    if (load_secret(p, err) < 0 || dt_db_conn_open(path, &c, err) < 0 ||
        dt_db_migrate(c, dt_db_migrations, err) < 0 ||
        dt_bootstrap(c, admin != NULL && admin[0] != '\0' ? admin : NULL, p->first_key, err) < 0 ||
        dt_directory_load(&p->rd.directory, c, err) < 0 ||
        dt_store_sandbox_all(c, add_live, p, err) < 0 ||
        dt_store_signed_all(c, dt_clock_real_ms(), add_signed, p, err) < 0 ||
        dt_vault_load(&p->rd.vault, p->settings.data_dir, err) < 0 ||
        dt_regions_load(&p->rd.regions, c, err) < 0 ||
        dt_remotes_load(&p->rd.remotes, c, err) < 0 || dt_runner_load(&p->rd.runner, c, err) < 0 ||
        dt_audit_new(p->settings.data_dir, c, &p->rd.audit, err) < 0)
        return -1;
    c = dt_db_conn_close(c);
    dt_peers_read(&p->rd.peers);
    if (dt_db_open(p->rd.loop, path, &p->rd.db, err) < 0)
        return -1;
    dt_audit_start(p->rd.audit, p->rd.db, p->settings.config.audit_log_retention_days);
    return 0;
}

static void start_handles(struct program *p)
{
    uv_loop_t *loop = p->rd.loop;
    (void)uv_signal_init(loop, &p->term);
    (void)uv_signal_init(loop, &p->interrupt);
    (void)uv_signal_init(loop, &p->child);
    (void)uv_timer_init(loop, &p->late);
    (void)uv_timer_init(loop, &p->rd.tick);
    p->term.data = p->interrupt.data = p->child.data = p->late.data = p->rd.tick.data = p;
    (void)uv_signal_start(&p->term, on_signal, SIGTERM);
    (void)uv_signal_start(&p->interrupt, on_signal, SIGINT);
    (void)uv_signal_start(&p->child, on_child, SIGCHLD);
    (void)uv_timer_start(&p->late, on_late, READY_MS, 0);
    (void)uv_timer_start(&p->rd.tick, on_tick, TICK_MS, TICK_MS);
}

static int start(struct program *p, struct dt_err *err)
{
    static const struct dt_launcher_events events = {on_up, on_down, on_exited, on_network};
    struct dt_runnerd *rd = &p->rd;
    rd->loop->data = p;
    dt_op_queue_init(rd);
    rd->on_ready = on_ready;
    rd->on_change = dt_api_changed;
    rd->on_sandbox = dt_api_event_sandbox;
    rd->on_volume = dt_api_event_volume;
    rd->last_request_ms = dt_clock_ms();
    dt_upstream_totals_init(&rd->upstreams);
    rd->started_ms = dt_clock_real_ms();
    rd->limits = dt_limits_new();
    uint8_t boot[4];
    dt_rand_bytes(boot, sizeof(boot));
    dt_hex(boot, sizeof(boot), rd->boot);
    dt_tls_enable();
    dt_dns_enable();
    if (dt_services_load(&rd->services, rd->config, err) < 0 ||
        dt_trusted_load(&rd->trusted, rd->config->trusted_proxies, err) < 0 ||
        dt_network_check(rd->config, err) < 0 ||
        dt_oidc_new(rd->loop, rd->config, &rd->oidc, err) < 0 ||
        dt_mail_new(rd->loop, rd->config, &rd->mail, err) < 0 ||
        dt_holdings_new(&rd->holdings, err) < 0 ||
        dt_snapshot_watch_new(rd, &p->snapshots, err) < 0 || load_store(p, err) < 0 ||
        dt_http_server_new(rd->loop, NULL, dt_api_handle, rd, &rd->api, err) < 0 ||
        dt_http_server_new(rd->loop, NULL, dt_preview_handle, rd, &rd->proxy, err) < 0 ||
        dt_launcher_client_new(rd->loop, p->launcher_fd, rd->config->daytona_launcher_socket,
                               &events, p, &rd->launcher, err) < 0)
        return -1;
    start_handles(p);
    return 0;
}

static bool has_launcher(const struct dt_config_runnerd *c)
{
    return c->daytona_launcher_socket != NULL && c->daytona_launcher_socket[0] != '\0';
}

static int check_user(const struct program *p, struct dt_err *err)
{
    if (geteuid() == 0 || has_launcher(&p->settings.config))
        return 0;
    return dt_err_set(err, DT_E_FORBIDDEN,
                      "start it as root (it gives up all privileges but for a small helper), or "
                      "name the launcher of an installed service with --launcher-socket");
}

/* As root: what only root can do, then root no more. */
static int give_up_root(struct program *p, struct dt_err *err)
{
    const struct dt_config_runnerd *c = &p->settings.config;
    struct dt_identity who = geteuid() == 0 ? dt_identity_of(c->daytona_runnerd_uid)
                                            : (struct dt_identity){geteuid(), getegid()};
    if (dt_prepare_folders(p->settings.data_dir, &who, err) < 0 ||
        dt_data_dir_lock(p->settings.data_dir, &who, err) < 0)
        return -1;
    open_sandboxes(p);
    dt_host_open(&p->rd.host, p->settings.data_dir);
    if (!has_launcher(c)) {
        p->launcher_fd = dt_launcher_spawn(p->settings.data_dir, &who, c->daytona_sandbox_bandwidth,
                                           &p->launcher, err);
        if (p->launcher_fd < 0)
            return -1;
    }
    if (geteuid() == 0 && dt_privileges_drop(&who, err) < 0)
        return -1;
    return dt_harden(err);
}

static int log_level(const char *name, enum dt_log_level *ret, struct dt_err *err)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret = (enum dt_log_level)i;
            return 0;
        }
    }
    return dt_err_set(err, DT_E_INVALID, "LOG_LEVEL: '%s' is none of debug, info, warn, error",
                      name);
}

/* Before anything is read that somebody else wrote, and before there are threads. */
static int become_harmless(struct program *p, struct dt_err *err)
{
    enum dt_log_level level = DT_LOG_INFO;
    if (log_level(p->settings.config.log_level, &level, err) < 0 || check_user(p, err) < 0 ||
        dt_settings_data_dir(&p->settings, err) < 0 || give_up_root(p, err) < 0)
        return -1;
    dt_log_init("daytona-runnerd", level);
    return dt_confine(p->settings.data_dir, p->settings.config.daytona_socket, err);
}

static int serve(struct program *p)
{
    struct dt_err err;
    if (become_harmless(p, &err) < 0) {
        (void)fprintf(stderr, "daytona-runnerd: %s\n", err.msg);
        return err.code == DT_E_CONFLICT ? EXIT_IN_USE : 1;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    static uv_loop_t loop; /* not left behind on the stack by a start that fails */
    (void)uv_loop_init(&loop);
    p->rd.loop = &loop;
    p->rd.config = &p->settings.config;
    if (start(p, &err) < 0) {
        (void)fprintf(stderr, "daytona-runnerd: %s\n", err.msg);
        (void)shutdown(p->launcher_fd, SHUT_RDWR);
        wait_for_launcher(p->launcher);
        return 1; /* the process ends: everything else with it */
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    remove_files(p);
    wait_for_launcher(p->launcher);
    dt_directory_clear(&p->rd.directory);
    p->rd.holdings = dt_holdings_free(p->rd.holdings);
    dt_regions_clear(&p->rd.regions);
    dt_remotes_clear(&p->rd.remotes);
    p->rd.limits = dt_limits_free(p->rd.limits);
    dt_host_close(&p->rd.host);
    p->rd.audit = dt_audit_free(p->rd.audit);
    char *const texts[] = {p->rd.proxy_domain, p->rd.proxy_template, p->rd.toolbox_base,
                           p->rd.api_url, p->rd.dashboard_url};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    return p->rd.exit_code;
}

static int print_help(void)
{
    DT_AUTO_FREE char *help = dt_config_runnerd_help();
    (void)fputs(help != NULL ? help : "", stdout);
    return 0;
}

/* `daytona-runnerd snapshot import ...` and the like. */
static int command(struct dt_settings *s)
{
    static const struct {
        const char *word;
        int (*run)(const struct dt_config_runnerd *config, const char *data_dir, int nwords,
                   char **words);
    } commands[] = {{"snapshot", dt_cmd_snapshot}, {"audit", dt_cmd_audit}};
    struct dt_err err;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(s->words[0], commands[i].word) != 0)
            continue;
        if (dt_settings_data_dir(s, &err) == 0)
            return commands[i].run(&s->config, s->data_dir, s->nwords, s->words);
        (void)fprintf(stderr, "daytona-runnerd: %s\n", err.msg);
        return 1;
    }
    (void)fprintf(stderr, "daytona-runnerd: there is no '%s'; --help says more\n", s->words[0]);
    return 2;
}

int main(int argc, char **argv)
{
    static struct program p = {.launcher_fd = -1, .rd = {.sandboxes = -1}};
    struct dt_err err;
    int code;
    if (dt_settings_load(&p.settings, argc, argv, &err) < 0) {
        (void)fprintf(stderr, "daytona-runnerd: %s\n", err.msg);
        return 2;
    }
    if (p.settings.config.common.help)
        code = print_help();
    else if (p.settings.config.common.version)
        code = printf("daytona-runnerd %s\n", DT_VERSION) < 0;
    else if (p.settings.nwords == 0)
        code = serve(&p);
    else
        code = command(&p.settings);
    dt_settings_done(&p.settings);
    return code;
}
