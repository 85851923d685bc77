#include "runnerd/audit/about.h"

static const char *const services[] = {"proxy", "ssh-gateway", "health-check", "runner",
                                       "otel-collector"};

static void set_actor(const struct dt_directory *d, const struct dt_principal *who,
                      struct dt_audit_record *r)
{
    const struct dt_user *u = dt_directory_user(d, who->user);
    const struct dt_key *k = who->kind == DT_BY_KEY ? dt_directory_key(d, who->key) : NULL;
    r->texts[DT_AUDIT_ACTOR] = who->user;
    r->texts[DT_AUDIT_EMAIL] = u != NULL ? u->email : "";
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        if (who->kind == DT_BY_SERVICE && who->service == 1u << i)
            r->texts[DT_AUDIT_ACTOR] = services[i];
    }
    if (k != NULL) {
        r->texts[DT_AUDIT_KEY_PREFIX] = k->prefix;
        r->texts[DT_AUDIT_KEY_SUFFIX] = k->suffix;
    }
}

static char *header_text(const struct dt_http_req *req, const char *name)
{
    struct dt_str v = dt_http_req_header(req, name);
    char *z = v.n > 0 ? malloc(v.n + 1) : NULL;
    for (size_t i = 0; z != NULL && i < v.n; i++)
        z[i] = (unsigned char)v.p[i] < 0x80 ? v.p[i] : '?'; /* it need not be UTF-8 */
    if (z != NULL)
        z[v.n] = '\0';
    return z;
}

void dt_about_init(struct dt_about *about, struct dt_runnerd *rd, struct dt_http_req *req,
                   const struct dt_principal *who, struct dt_audit_record *r)
{
    (void)dt_client_address(&rd->trusted, req, NULL, about->address);
    about->agent = header_text(req, "User-Agent");
    about->source = header_text(req, "X-Daytona-Source");
    set_actor(&rd->directory, who, r);
    r->texts[DT_AUDIT_ADDRESS] = about->address;
    r->texts[DT_AUDIT_AGENT] = about->agent;
    r->texts[DT_AUDIT_SOURCE] = about->source;
}

void dt_about_done(struct dt_about *about)
{
    free(about->agent);
    free(about->source);
}

json_t *dt_about_params(const struct dt_route *route, char *const *values, size_t n)
{
    struct dt_str path = dt_str_z(route->path), segment;
    json_t *all = json_object();
    int i = 0;
    while (dt_str_cut(&path, '/', &segment) && (size_t)i < n) {
        if (segment.n < 2 || segment.p[0] != '{')
            continue;
        if (i != route->org_param && i != route->target_param)
            (void)json_object_setn_new(all, segment.p + 1, segment.n - 2, json_string(values[i]));
        i++;
    }
    return all;
}

void dt_about_add(json_t *metadata, const char *name, json_t *part)
{
    if (json_object_size(part) > 0)
        (void)json_object_set(metadata, name, part);
    json_decref(part);
}
