/* What organizations say about telemetry and experiments. It may hold keys: the store has it
 * sealed, and owners and the collector alone see all of it. */
#include <stdio.h>

#include "model/name.h"
#include "runnerd/api/api_change.h"
#include "runnerd/api/api_object.h"

enum { CONFIG_MAX = 64 * 1024 };

/* --- sealed --- */

/* The id of its organization and the kind: one cannot be put in the place of another. */
static struct dt_str context(const char *org, const char *kind, char room[DT_UUID_SIZE + 32])
{
    int n = snprintf(room, DT_UUID_SIZE + 32, "%s/%s", org, kind);
    return dt_str(room, (size_t)n);
}

static json_t *opened(const struct dt_runnerd *rd, const struct dt_org *o, const char *kind,
                      const struct dt_sealed *sealed)
{
    char room[DT_UUID_SIZE + 32];
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, CONFIG_MAX);
    if (sealed->p == NULL || dt_vault_open(&rd->vault, context(o->id, kind, room),
                                           dt_str(sealed->p, sealed->n), &text, NULL) < 0)
        return NULL;
    return dt_json_parse(dt_buf_str(&text), DT_API_DEPTH_MAX, NULL);
}

json_t *dt_api_org_otel(const struct dt_runnerd *rd, const struct dt_org *o)
{
    return opened(rd, o, "otel", &o->otel);
}

json_t *dt_api_org_experimental(const struct dt_runnerd *rd, const struct dt_org *o)
{
    return opened(rd, o, "experimental", &o->experimental);
}

/* --- changes --- */

static void free_sealed(void *extra)
{
    struct dt_buf *b = extra;
    dt_buf_done(b);
    free(b);
}

/* `config` NULL: takes it away. */
static void change(struct dt_api_req *a, const json_t *config, const char *kind,
                   int (*work)(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err))
{
    char room[DT_UUID_SIZE + 32];
    struct dt_err err;
    struct dt_api_change ch = {.a = a, .work = work, .free_extra = free_sealed};
    DT_AUTO_BUF struct dt_buf text;
    struct dt_buf *sealed = calloc(1, sizeof(*sealed));
    dt_buf_init(&text, CONFIG_MAX);
    memcpy(ch.org, a->who.org, sizeof(ch.org));
    if (sealed == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    ch.extra = sealed;
    dt_buf_init(sealed, CONFIG_MAX + DT_VAULT_OVERHEAD);
    if (config != NULL && (dt_json_write(config, &text, &err) < 0 ||
                           dt_vault_seal(&a->rd->vault, context(ch.org, kind, room),
                                         dt_buf_str(&text), sealed, &err) < 0)) {
        (void)dt_err_wrap(&err, "the configuration");
        dt_api_change_fail(&ch, &err);
        return;
    }
    dt_api_change_start(&ch);
}

static int otel_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    return dt_store_org_otel(c, ch->org, dt_buf_str(ch->extra), err);
}

static int experimental_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    return dt_store_org_experimental(c, ch->org, dt_buf_str(ch->extra), err);
}

/* --- OpenTelemetry --- */

/* RFC 9110 section 5.6.2 */
static bool is_header_name(const char *z)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return z[0] != '\0' && z[strspn(z, token)] == '\0';
}

static bool is_header_value(struct dt_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    }
    return true;
}

static int check_headers(json_t *headers, struct dt_err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(headers, name, value)
    {
        struct dt_str v = dt_str(json_string_value(value), json_string_length(value));
        if (!is_header_name(name))
            return dt_err_set(err, DT_E_BAD_REQUEST, "headers: '%.100s' is no name of a header",
                              name);
        if (!is_header_value(v))
            return dt_err_set(err, DT_E_BAD_REQUEST,
                              "headers.%.100s must not hold control characters", name);
    }
    return 0;
}

static int check_otel(const struct dt_rest_otel_config *in, struct dt_err *err)
{
    if (dt_url_check(dt_str_z(in->endpoint), NULL) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "endpoint must be the URL of a collector, such as "
                          "https://otel.example.com:4318, without user, query and fragment");
    return check_headers(in->headers, err);
}

void dt_api_organization_otel_set(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_otel_config in;
    struct dt_err err;
    if (dt_rest_otel_config_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    DT_AUTO_JSON json_t *config = dt_rest_otel_config_print(&in);
    if (check_otel(&in, &err) < 0)
        dt_api_fail(a, &err);
    else
        change(a, config, "otel", otel_work);
    dt_rest_otel_config_done(&in);
}

void dt_api_organization_otel_delete(struct dt_api_req *a)
{
    change(a, NULL, "otel", otel_work);
}

static void show_otel(struct dt_api_req *a, const struct dt_org *o)
{
    struct dt_err err;
    json_t *config = o != NULL ? dt_api_org_otel(a->rd, o) : NULL;
    if (config != NULL) {
        dt_api_reply(a, config);
        return;
    }
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "OpenTelemetry configuration not found");
    dt_api_fail(a, &err);
}

void dt_api_organization_otel_get(struct dt_api_req *a)
{
    const struct dt_org *o = dt_api_org(a);
    if (o != NULL)
        show_otel(a, o);
}

void dt_api_organization_otel_by_token(struct dt_api_req *a)
{
    const char *token = a->params[0];
    const struct dt_org *o = NULL;
    for (const struct dt_live *l = dt_live_next(&a->rd->live, NULL); l != NULL;
         l = dt_live_next(&a->rd->live, l)) {
        if (strlen(token) == sizeof(l->token) - 1 &&
            dt_equal_secret(token, l->token, sizeof(l->token) - 1))
            o = dt_directory_org(&a->rd->directory, l->org);
    }
    show_otel(a, o);
}

/* --- experiments --- */

void dt_api_organization_experimental(struct dt_api_req *a, json_t *body)
{
    struct dt_err err;
    bool none = json_is_null(body) || (json_is_object(body) && json_object_size(body) == 0);
    if (!none && !json_is_object(body)) {
        (void)dt_err_set(&err, DT_E_BAD_REQUEST, "the configuration must be an object, or null");
        dt_api_fail(a, &err);
        return;
    }
    change(a, none ? NULL : body, "experimental", experimental_work);
}
