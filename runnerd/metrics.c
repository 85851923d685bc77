#include "runnerd/metrics.h"

#include <inttypes.h>

#include "base/clock.h"
#include "runnerd/runnerd.h"

static const double bounds_s[DT_METRICS_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                    0.1,    0.25,  0.5,    1,     2.5,  10};

/* --- counting --- */

static void observe(struct dt_histogram *h, uint64_t ns)
{
    double s = (double)ns / 1e9;
    int i = 0;
    while (i < DT_METRICS_BUCKETS && s > bounds_s[i])
        i++;
    h->buckets[i]++;
    h->sum_s += s;
}

void dt_metrics_request(struct dt_metrics *m, unsigned op, int status, uint64_t ns)
{
    unsigned at = op < DT_REST_OP_COUNT ? op : DT_REST_OP_COUNT;
    int i = 0;
    while (i < DT_METRICS_STATUSES - 1 && m->ops[at].statuses[i].code != status &&
           m->ops[at].statuses[i].code != 0)
        i++;
    m->ops[at].statuses[i].code = status;
    m->ops[at].statuses[i].count++;
    observe(&m->ops[at].latency, ns);
}

void dt_metrics_create(struct dt_metrics *m, uint64_t ns)
{
    observe(&m->create, ns);
}

/* --- printing --- */

static int head(struct dt_buf *out, const char *name, const char *type, const char *help,
                struct dt_err *err)
{
    return dt_buf_addf(out, err, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static int value(struct dt_buf *out, const char *name, const char *type, const char *help, double v,
                 struct dt_err *err)
{
    if (head(out, name, type, help, err) < 0)
        return -1;
    return dt_buf_addf(out, err, "%s %.17g\n", name, v);
}

/* `labels` is empty or ends with a comma. */
static int histogram(struct dt_buf *out, const char *name, const char *labels,
                     const struct dt_histogram *h, struct dt_err *err)
{
    uint64_t count = 0;
    for (int i = 0; i < DT_METRICS_BUCKETS; i++) {
        count += h->buckets[i];
        if (dt_buf_addf(out, err, "%s_bucket{%sle=\"%g\"} %" PRIu64 "\n", name, labels, bounds_s[i],
                        count) < 0)
            return -1;
    }
    count += h->buckets[DT_METRICS_BUCKETS];
    size_t n = strlen(labels);
    int closed = (int)(n > 0 ? n - 1 : 0);
    const char *open = n > 0 ? "{" : "", *close = n > 0 ? "}" : "";
    return dt_buf_addf(out, err,
                       "%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n%s_sum%s%.*s%s %.9g\n"
                       "%s_count%s%.*s%s %" PRIu64 "\n",
                       name, labels, count, name, open, closed, labels, close, h->sum_s, name, open,
                       closed, labels, close, count);
}

static const char *op_name(unsigned i)
{
    return i < DT_REST_OP_COUNT ? dt_rest_routes[i].id : "none";
}

static int print_requests(const struct dt_metrics *m, struct dt_buf *out, struct dt_err *err)
{
    if (head(out, "daytona_http_requests_total", "counter", "Answered requests of the REST API.",
             err) < 0)
        return -1;
    for (unsigned i = 0; i <= DT_REST_OP_COUNT; i++) {
        for (int k = 0; k < DT_METRICS_STATUSES; k++) {
            if (m->ops[i].statuses[k].count > 0 &&
                dt_buf_addf(
                    out, err, "daytona_http_requests_total{op=\"%s\",status=\"%d\"} %" PRIu64 "\n",
                    op_name(i), m->ops[i].statuses[k].code, m->ops[i].statuses[k].count) < 0)
                return -1;
        }
    }
    return 0;
}

static int print_latencies(const struct dt_metrics *m, struct dt_buf *out, struct dt_err *err)
{
    static const char name[] = "daytona_http_request_duration_seconds";
    if (head(out, name, "histogram", "From a request's head to its answer.", err) < 0)
        return -1;
    for (unsigned i = 0; i <= DT_REST_OP_COUNT; i++) {
        char labels[96];
        if (m->ops[i].statuses[0].count == 0)
            continue;
        (void)snprintf(labels, sizeof(labels), "op=\"%s\",", op_name(i));
        if (histogram(out, name, labels, &m->ops[i].latency, err) < 0)
            return -1;
    }
    return 0;
}

static int print_sandboxes(const struct dt_runnerd *rd, struct dt_buf *out, struct dt_err *err)
{
    uint64_t counts[DT_SANDBOX_STATE_COUNT] = {0};
    for (const struct dt_live *l = dt_live_next(&rd->live, NULL); l != NULL;
         l = dt_live_next(&rd->live, l))
        counts[l->state]++;
    if (head(out, "daytona_sandboxes", "gauge", "Sandboxes by state.", err) < 0)
        return -1;
    for (int i = 0; i < DT_SANDBOX_STATE_COUNT; i++) {
        if (i != DT_SANDBOX_DESTROYED &&
            dt_buf_addf(out, err, "daytona_sandboxes{state=\"%s\"} %" PRIu64 "\n",
                        dt_sandbox_state_text((enum dt_sandbox_state)i), counts[i]) < 0)
            return -1;
    }
    if (head(out, "daytona_sandbox_create_seconds", "histogram",
             "From the request for a sandbox to its start.", err) < 0)
        return -1;
    return histogram(out, "daytona_sandbox_create_seconds", "", &rd->metrics.create, err);
}

static int print_runners(const struct dt_runnerd *rd, struct dt_buf *out, struct dt_err *err)
{
    unsigned counts[DT_RUNNER_UNRESPONSIVE + 1] = {0};
    int64_t now_ms = dt_clock_real_ms();
    for (const struct dt_remote *r = rd->remotes.first; r != NULL; r = r->next)
        counts[dt_runner_state(r->checked_ms, r->troubled, now_ms)]++;
    if (head(out, "daytona_registered_runners", "gauge", "Runners on other machines by state.",
             err) < 0)
        return -1;
    for (int i = 0; i <= DT_RUNNER_UNRESPONSIVE; i++) {
        if (dt_buf_addf(out, err, "daytona_registered_runners{state=\"%s\"} %u\n",
                        dt_runner_state_text((enum dt_runner_state)i), counts[i]) < 0)
            return -1;
    }
    return value(out, "daytona_job_polls", "gauge", "Runners that wait for jobs.", rd->npolls, err);
}

static int print_process(const struct dt_runnerd *rd, struct dt_buf *out, struct dt_err *err)
{
    struct dt_process_figures p;
    dt_host_read_process(&rd->host, &p);
    if (value(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
              (double)p.resident_bytes, err) < 0 ||
        value(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
              (double)p.virtual_bytes, err) < 0 ||
        value(out, "process_cpu_seconds_total", "counter", "User and system time.",
              (double)p.cpu_usec / 1e6, err) < 0 ||
        value(out, "process_open_fds", "gauge", "Open files.", p.open_files, err) < 0)
        return -1;
    return value(out, "process_start_time_seconds", "gauge", "Since 1970.",
                 (double)rd->started_ms / 1e3, err);
}

static int print_host(const struct dt_runnerd *rd, struct dt_buf *out, struct dt_err *err)
{
    struct dt_host_figures h;
    dt_host_read(&rd->host, &h);
    if (value(out, "daytona_host_cpu_ratio", "gauge", "Share of cpu time in use.",
              h.cpu_percent / 100, err) < 0 ||
        value(out, "daytona_host_memory_ratio", "gauge", "Share of memory in use.",
              h.memory_percent / 100, err) < 0 ||
        value(out, "daytona_host_disk_ratio", "gauge", "Share of the data directory's disk in use.",
              h.disk_percent / 100, err) < 0)
        return -1;
    return value(out, "daytona_host_load", "gauge", "Load average of one minute.", h.load, err);
}

int dt_metrics_print(const struct dt_runnerd *rd, struct dt_buf *out, struct dt_err *err)
{
    if (head(out, "daytona_build_info", "gauge", "The version that runs.", err) < 0 ||
        dt_buf_addf(out, err, "daytona_build_info{version=\"%s\"} 1\n", DT_VERSION) < 0 ||
        print_requests(&rd->metrics, out, err) < 0 || print_latencies(&rd->metrics, out, err) < 0 ||
        print_sandboxes(rd, out, err) < 0 ||
        value(out, "daytona_store_queue", "gauge", "Jobs that wait for the store or run there.",
              (double)dt_db_waiting(rd->db), err) < 0 ||
        value(out, "daytona_launcher_up", "gauge", "Whether the launcher can be reached.",
              dt_launcher_client_is_up(rd->launcher), err) < 0 ||
        value(out, "daytona_telemetry_bytes", "gauge", "Memory of metrics and traces of sandboxes.",
              (double)rd->live.telemetry.bytes, err) < 0 ||
        value(out, "daytona_sandbox_network_up", "gauge",
              "Whether the host has a network for sandboxes, as the launcher said last.",
              rd->hello.has_network, err) < 0 ||
        value(out, "daytona_notification_clients", "gauge", "Who gets events.",
              rd->audience.njoined, err) < 0 ||
        print_runners(rd, out, err) < 0 || print_host(rd, out, err) < 0)
        return -1;
    return print_process(rd, out, err);
}
