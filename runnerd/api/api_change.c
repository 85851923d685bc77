#include "runnerd/api/api_change.h"

#include "runnerd/identity/directory_store.h"

static void release(struct dt_api_change *ch)
{
    json_decref(ch->in.owner);
    ch->in.owner = NULL;
    if (ch->free_extra != NULL)
        ch->free_extra(ch->extra);
    ch->extra = NULL;
    ch->addressee = dt_user_free(ch->addressee);
    ch->fresh_org = dt_org_free(ch->fresh_org);
    ch->fresh_user = dt_user_free(ch->fresh_user);
    explicit_bzero(ch->key, sizeof(ch->key));
}

void dt_api_change_fail(struct dt_api_change *ch, const struct dt_err *err)
{
    dt_api_fail(ch->a, err);
    release(ch);
}

static int on_store(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct dt_api_change *ch = arg;
    if (ch->work(c, ch, err) < 0)
        return -1;
    if (ch->org[0] != '\0' && !ch->org_gone && dt_org_load(c, ch->org, &ch->fresh_org, err) < 0)
        return -1;
    return ch->user[0] != '\0' ? dt_user_load(c, ch->user, &ch->fresh_user, err) : 0;
}

static void to_directory(struct dt_api_change *ch)
{
    struct dt_directory *d = &ch->a->rd->directory;
    if (ch->org_gone) {
        dt_directory_drop_org(d, ch->org);
        dt_regions_remove_of(&ch->a->rd->regions, ch->org);
        dt_api_runners_drop(ch->a->rd, NULL, ch->org);
    }
    if (ch->fresh_org != NULL)
        dt_directory_put_org(d, dt_take(ch->fresh_org));
    if (ch->fresh_user != NULL)
        dt_directory_put_user(d, dt_take(ch->fresh_user));
    dt_audience_review(ch->a->rd);
}

static void on_loop(void *arg, const struct dt_err *err)
{
    struct dt_api_change *ch = arg;
    struct dt_api_req *a = ch->a;
    if (err == NULL)
        to_directory(ch);
    if (err != NULL)
        dt_api_fail(a, err);
    else if (ch->reply != NULL)
        ch->reply(ch);
    else
        dt_api_reply(a, NULL);
    release(ch);
    free(ch);
    dt_api_unref(a);
}

void dt_api_change_start(const struct dt_api_change *like)
{
    struct dt_err err;
    struct dt_api_change *ch = malloc(sizeof(*ch));
    if (ch == NULL) {
        struct dt_api_change gone = *like;
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_change_fail(&gone, &err);
        return;
    }
    *ch = *like;
    (void)dt_api_ref(ch->a);
    if (dt_db_submit(ch->a->rd->db, on_store, ch, on_loop, &err) < 0)
        on_loop(ch, &err);
}

size_t dt_api_texts(const json_t *array, const char **out, size_t max)
{
    size_t n = json_array_size(array);
    for (size_t i = 0; i < n && i < max; i++)
        out[i] = json_string_value(json_array_get(array, i));
    return n < max ? n : max;
}
