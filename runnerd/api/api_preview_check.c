/* What a preview proxy in front of this server asks: whether a sandbox is public, whether a token
 * or a person opens it. A sandbox that is not there looks like one that is private. */
#include "base/clock.h"
#include "model/preview.h"
#include "runnerd/api/api.h"

static void answer(struct dt_api_req *a, bool yes)
{
    struct dt_err err;
    if (yes) {
        dt_api_reply_plain(a, DT_STR("true"));
        return;
    }
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "Sandbox with ID %.64s not found", a->params[0]);
    dt_api_fail(a, &err);
}

void dt_api_preview_public(struct dt_api_req *a)
{
    const struct dt_live *l = dt_api_live(a, a->params[0]);
    answer(a, l != NULL && l->is_public);
}

void dt_api_preview_validate(struct dt_api_req *a)
{
    const struct dt_live *l = dt_api_live(a, a->params[0]);
    answer(a, l != NULL && strlen(a->params[1]) == sizeof(l->token) - 1 &&
                  dt_equal_secret(a->params[1], l->token, sizeof(l->token) - 1));
}

/* Members of the sandbox's organization, whichever the call names. */
void dt_api_preview_access(struct dt_api_req *a)
{
    struct dt_principal who = a->who;
    const struct dt_live *l = dt_api_live(a, a->params[0]);
    answer(a, l != NULL && dt_principal_enter(a->rd, &who, l->org, NULL) == 0);
}

void dt_api_preview_signed(struct dt_api_req *a)
{
    struct dt_err err;
    uint16_t port;
    const struct dt_signed_row *r =
        dt_signed_find(&a->rd->signed_urls, a->params[0], dt_clock_real_ms());
    if (r != NULL && dt_api_live(a, r->sandbox) != NULL &&
        dt_port_parse(dt_str_z(a->params[1]), &port, NULL) == 0 && r->port == port) {
        dt_api_reply_plain(a, dt_str_z(r->sandbox));
        return;
    }
    (void)dt_err_set(&err, DT_E_FORBIDDEN, "Invalid or expired token");
    dt_api_fail(a, &err);
}
