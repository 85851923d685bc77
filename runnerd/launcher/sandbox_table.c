#include "runnerd/launcher/sandbox_in.h"

#include <fcntl.h>
#include <string.h>

struct dt_sandbox **dt_sandbox_bucket(struct dt_launcher *l, const uint8_t id[16])
{
    unsigned h;
    memcpy(&h, id + 12, sizeof(h));
    return &l->sandboxes_by_id[h % DT_SANDBOX_BUCKETS];
}

struct dt_sandbox *dt_sandbox_find(struct dt_launcher *l, const uint8_t id[16])
{
    struct dt_sandbox *s = *dt_sandbox_bucket(l, id);
    while (s != NULL && (s->gone || memcmp(s->id, id, sizeof(s->id)) != 0))
        s = s->next;
    return s;
}

bool dt_sandbox_on_host(const struct dt_launcher *l, const uint8_t id[16])
{
    char name[DT_ID_TEXT_SIZE];
    dt_id_text(id, name);
    return faccessat(l->sandboxes, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void dt_sandbox_link(struct dt_sandbox *s)
{
    struct dt_sandbox **b = dt_sandbox_bucket(s->l, s->id);
    s->next = *b;
    *b = s;
}

void dt_sandbox_unlink(struct dt_sandbox *s)
{
    struct dt_sandbox **at = dt_sandbox_bucket(s->l, s->id);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
}

struct dt_sandbox *dt_sandbox_new(struct dt_launcher *l, const uint8_t id[16])
{
    struct dt_sandbox *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->l = l;
    memcpy(s->id, id, sizeof(s->id));
    s->config = -1;
    s->disk = (struct dt_pool_disk){.mount = -1, .listener = -1};
    dt_volumes_init(&s->volumes);
    s->box = (struct dt_box)DT_BOX_NONE;
    dt_freeze_init(s);
    dt_sandbox_link(s);
    l->nsandboxes++;
    return s;
}

/* What is only needed until the first process has it. */
void dt_sandbox_drop_materials(struct dt_sandbox *s)
{
    dt_closep(&s->box.userns);
    dt_pool_disk_close(&s->disk);
    dt_volumes_close(&s->volumes);
}

/* What is only needed until it is owned. */
void dt_sandbox_drop_request(struct dt_sandbox *s)
{
    dt_closep(&s->config);
    free(dt_take(s->spec));
}

void dt_sandbox_wait_for_kit(struct dt_sandbox *s)
{
    struct dt_launcher *l = s->l;
    struct dt_sandbox **at = &l->first_waiting;
    while (*at != NULL)
        at = &(*at)->next_waiting;
    *at = s;
    s->next_waiting = NULL;
    s->waits_for_kit = true;
}

void dt_sandbox_wait_no_more(struct dt_sandbox *s)
{
    struct dt_sandbox **at = &s->l->first_waiting;
    while (*at != NULL && *at != s)
        at = &(*at)->next_waiting;
    if (*at != NULL)
        *at = s->next_waiting;
    s->waits_for_kit = false;
}

void dt_sandbox_free(struct dt_sandbox *s)
{
    if (s->waits_for_kit)
        dt_sandbox_wait_no_more(s);
    dt_sandbox_unlink(s);
    s->l->nsandboxes--;
    dt_loop_untimer(&s->l->loop, &s->timer);
    dt_loop_untimer(&s->l->loop, &s->freeze.timer);
    dt_loop_unwatch(&s->l->loop, &s->on_exit);
    dt_loop_unwatch(&s->l->loop, &s->on_said);
    dt_loop_unwatch(&s->l->loop, &s->freeze.watch);
    dt_sandbox_drop_materials(s);
    dt_sandbox_drop_request(s);
    dt_closep(&s->box.pidfd);
    dt_closep(&s->box.sock);
    dt_closep(&s->freeze.watch.fd);
    free(s);
}

void dt_sandbox_leave_warm(struct dt_sandbox *s)
{
    struct dt_sandbox **at = &s->l->warm;
    while (*at != s)
        at = &(*at)->next_warm;
    *at = s->next_warm;
    s->l->nwarm--;
    s->ahead = false;
}

bool dt_sandbox_any_ending(const struct dt_launcher *l)
{
    for (unsigned i = 0; i < DT_SANDBOX_BUCKETS; i++) {
        for (const struct dt_sandbox *s = l->sandboxes_by_id[i]; s != NULL; s = s->next) {
            if (s->state == DT_KILLED || s->state == DT_ENDED)
                return true;
        }
    }
    return false;
}

void dt_sandbox_forget_all(struct dt_launcher *l)
{
    for (unsigned i = 0; i < DT_SANDBOX_BUCKETS; i++) {
        while (l->sandboxes_by_id[i] != NULL)
            dt_sandbox_free(l->sandboxes_by_id[i]);
    }
}

int dt_sandbox_folder(const struct dt_sandbox *s)
{
    char id[DT_ID_TEXT_SIZE];
    dt_id_text(s->id, id);
    return openat(s->l->sandboxes, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int dt_sandbox_throw_away(struct dt_launcher *l, const uint8_t id[16], struct dt_err *err)
{
    char name[DT_ID_TEXT_SIZE];
    dt_id_text(id, name);
    return dt_trash(l, l->sandboxes, name, err);
}

bool dt_sandbox_has_volume(const struct dt_launcher *l, const uint8_t id[16])
{
    for (unsigned i = 0; i < DT_SANDBOX_BUCKETS; i++) {
        for (const struct dt_sandbox *s = l->sandboxes_by_id[i]; s != NULL; s = s->next) {
            for (unsigned k = 0; !s->gone && k < s->volumes.n; k++) {
                if (memcmp(s->volumes.ids[k], id, sizeof(s->volumes.ids[k])) == 0)
                    return true;
            }
        }
    }
    return false;
}
