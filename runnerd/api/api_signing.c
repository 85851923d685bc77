/* The key that clients sign URLs of a sandbox's files with. Whoever has it may read and write all
 * of them, so it takes the permission to do so. */
#include "runnerd/api/api.h"

static void reply_key(struct dt_api_req *a, const char *id, int64_t epoch)
{
    char key[DT_FILE_KEY_SIZE];
    dt_file_key(a->rd->secret, id, epoch, key);
    dt_api_reply_plain(a, dt_str_z(key));
}

void dt_api_sandbox_signing_key(struct dt_api_req *a)
{
    const struct dt_live *l = dt_api_sandbox(a);
    if (l != NULL)
        reply_key(a, l->id, l->signing_epoch);
}

/* A preview proxy in front of this server asks. */
void dt_api_preview_signing_key(struct dt_api_req *a)
{
    struct dt_err err;
    const struct dt_live *l = dt_api_live(a, a->params[0]);
    if (l != NULL) {
        reply_key(a, l->id, l->signing_epoch);
        return;
    }
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "Sandbox with ID %.64s not found", a->params[0]);
    dt_api_fail(a, &err);
}

struct rotation {
    struct dt_api_req *a;
    char id[DT_UUID_SIZE];
    int64_t epoch;
};

static int rotate(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct rotation *r = arg;
    return dt_store_sandbox_rotate(c, r->id, &r->epoch, err);
}

static void rotated(void *arg, const struct dt_err *err)
{
    struct rotation *r = arg;
    struct dt_live *l = dt_live_by_id(&r->a->rd->live, r->id);
    if (err == NULL && l != NULL && r->epoch > l->signing_epoch)
        l->signing_epoch = r->epoch;
    if (err != NULL)
        dt_api_fail(r->a, err);
    else
        reply_key(r->a, r->id, r->epoch);
    dt_api_unref(r->a);
    free(r);
}

void dt_api_sandbox_signing_key_rotate(struct dt_api_req *a)
{
    struct dt_err err;
    const struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    struct rotation *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    r->a = dt_api_ref(a);
    memcpy(r->id, l->id, sizeof(r->id));
    if (dt_db_submit(a->rd->db, rotate, r, rotated, &err) < 0)
        rotated(r, &err);
}
