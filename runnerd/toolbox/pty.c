#include "toolbox/pty_impl.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "gen/toolbox_api.h"
#include "toolbox/pty_text.h"
#include "toolbox/shell.h"

enum { COLS = 80, ROWS = 24 };

static struct dt_pty *list; /* newest first */
static unsigned count;

static struct ended {
    char id[DT_PTY_ID_MAX + 1];
} ended[DT_PTY_ENDED];
static unsigned next_ended;

/* --- ids --- */

static bool has_ended(struct dt_str id)
{
    for (size_t i = 0; i < DT_PTY_ENDED; i++) {
        if (dt_str_eq(dt_str_z(ended[i].id), id))
            return true;
    }
    return false;
}

static void remember(const char *id)
{
    if (has_ended(dt_str_z(id)))
        return;
    (void)snprintf(ended[next_ended].id, sizeof(ended[0].id), "%s", id);
    next_ended = (next_ended + 1) % DT_PTY_ENDED;
}

static void forget(const char *id)
{
    for (size_t i = 0; i < DT_PTY_ENDED; i++) {
        if (strcmp(ended[i].id, id) == 0)
            ended[i].id[0] = '\0';
    }
}

static struct dt_pty *by_id(struct dt_str id)
{
    struct dt_pty *p = list;
    while (p != NULL && !dt_str_eq(dt_str_z(p->id), id))
        p = p->next;
    return p;
}

int dt_pty_find(struct dt_str id, struct dt_pty **ret, struct dt_err *err)
{
    struct dt_pty *p = by_id(id);
    if (p == NULL && has_ended(id))
        return dt_err_set(err, DT_E_GONE, "PTY session '%.*s' has ended", (int)id.n, id.p);
    if (p == NULL)
        return dt_err_set(err, DT_E_NOT_FOUND, "PTY session not found");
    *ret = p;
    return 0;
}

static void unlist(const struct dt_pty *p)
{
    for (struct dt_pty **at = &list; *at != NULL; at = &(*at)->next) {
        if (*at != p)
            continue;
        *at = p->next;
        count--;
        remember(p->id);
        return;
    }
}

/* --- life --- */

static void on_timer_closed(uv_handle_t *h)
{
    struct dt_pty *p = h->data;
    dt_scrollback_done(&p->output);
    json_decref(p->envs);
    free(p->cwd);
    free(p);
    if (count == 0)
        (void)malloc_trim(0);
}

static void pty_free(struct dt_pty *p)
{
    uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

static void on_output(void *ctx, const char *bytes, size_t n)
{
    struct dt_pty *p = ctx;
    if (dt_scrollback_add(&p->output, bytes, n, NULL) < 0)
        dt_log(DT_LOG_WARN, "output of a PTY was not kept", NULL);
    dt_pty_viewers_show(p, dt_str(bytes, n));
}

static void on_input_drain(void *ctx)
{
    dt_pty_viewers_resume(ctx);
}

static void on_shell_exit(void *ctx, int status)
{
    struct dt_pty *p = ctx;
    unlist(p);
    dt_pty_viewers_end(p, dt_pty_exit_code(status));
    pty_free(p);
}

static const struct dt_terminal_events terminal_events = {on_output, on_input_drain, on_shell_exit};

/* What the shell finds over the guest's own: its kind of terminal, and itself. */
static json_t *shell_env(const struct dt_pty *p, const char *shell)
{
    json_t *j = p->envs != NULL ? json_copy(p->envs) : json_object();
    bool term = json_object_get(j, "TERM") != NULL;
    for (char **e = p->tb->guest.env; !term && *e != NULL; e++)
        term = dt_str_starts(dt_str_z(*e), DT_STR("TERM="));
    if ((!term && json_object_set_new(j, "TERM", json_string("xterm-256color")) < 0) ||
        (json_object_get(j, "SHELL") == NULL &&
         json_object_set_new(j, "SHELL", json_string(shell)) < 0)) {
        json_decref(j);
        return NULL;
    }
    return j;
}

int dt_pty_begin(struct dt_pty *p, struct dt_err *err)
{
    const char *shell = dt_shell_login(p->tb->guest.user.shell, err);
    if (shell == NULL)
        return -1;
    DT_AUTO_JSON json_t *env = shell_env(p, shell);
    if (env == NULL)
        return dt_err_set(err, DT_E_NOMEM, "environment of a PTY");
    const char *const argv[] = {shell, "-i", "-l", NULL};
    const struct dt_terminal_opts o = {
        .argv = argv,
        .cwd = p->cwd,
        .env = env,
        .cols = p->cols,
        .rows = p->rows,
        .events = &terminal_events,
        .ctx = p,
    };
    return dt_terminal_start(p->tb, &o, &p->terminal, err);
}

static int check(const struct dt_pty_opts *o, struct dt_err *err)
{
    struct dt_str id = dt_str_z(o->id);
    if (dt_pty_check_id(id, err) < 0 || dt_pty_check_size(o->cols, o->rows, err) < 0 ||
        dt_env_check(o->envs, err) < 0)
        return -1;
    if (by_id(id) != NULL)
        return dt_err_set(err, DT_E_CONFLICT, "PTY session with ID '%s' already exists", o->id);
    if (count >= DT_PTYS_MAX)
        return dt_err_set(err, DT_E_LIMIT,
                          "the sandbox has %d PTYs, which is the most: delete those that are no "
                          "longer needed",
                          DT_PTYS_MAX);
    return 0;
}

static int check_cwd(const char *cwd, struct dt_err *err)
{
    struct stat st;
    if (stat(cwd, &st) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST, "working directory '%.300s': %s", cwd,
                          strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return dt_err_set(err, DT_E_BAD_REQUEST, "working directory '%.300s': not a directory",
                          cwd);
    return 0;
}

static struct dt_pty *make(struct dt_toolbox *tb, const struct dt_pty_opts *o)
{
    struct dt_pty *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->tb = tb;
    (void)snprintf(p->id, sizeof(p->id), "%s", o->id);
    p->envs = json_incref(o->envs);
    p->cols = (unsigned short)(o->cols > 0 ? o->cols : COLS);
    p->rows = (unsigned short)(o->rows > 0 ? o->rows : ROWS);
    p->created_ms = dt_clock_real_ms();
    p->lazy = o->lazy;
    dt_scrollback_init(&p->output);
    dt_pty_viewers_init(p);
    return p;
}

int dt_pty_new(struct dt_toolbox *tb, const struct dt_pty_opts *o, struct dt_pty **ret,
               struct dt_err *err)
{
    if (check(o, err) < 0)
        return -1;
    DT_AUTO_FREE char *cwd = dt_guest_cwd(&tb->guest, o->cwd, err);
    if (cwd == NULL || check_cwd(cwd, err) < 0 || dt_shell_login(tb->guest.user.shell, err) == NULL)
        return -1;
    struct dt_pty *p = make(tb, o);
    if (p == NULL)
        return dt_err_set(err, DT_E_NOMEM, "PTY");
    p->cwd = dt_take(cwd);
    if (!o->lazy && dt_pty_begin(p, err) < 0) {
        pty_free(p);
        return -1;
    }
    forget(p->id);
    p->next = list;
    list = p;
    count++;
    if (ret != NULL)
        *ret = p;
    return 0;
}

void dt_pty_delete(struct dt_pty *p)
{
    unlist(p);
    if (p->terminal != NULL)
        dt_terminal_kill(p->terminal);
    else
        pty_free(p); /* nobody watches what has not started */
}

void dt_pty_hang_up(void)
{
    for (struct dt_pty *p = list; p != NULL; p = p->next) {
        if (p->terminal != NULL)
            dt_terminal_hang_up(p->terminal);
    }
}

void dt_pty_resize(struct dt_pty *p, int64_t cols, int64_t rows)
{
    p->cols = (unsigned short)cols;
    p->rows = (unsigned short)rows;
    if (p->terminal != NULL)
        dt_terminal_resize(p->terminal, p->cols, p->rows);
}

/* --- what is told of them --- */

json_t *dt_pty_info(const struct dt_pty *p)
{
    char when[DT_CLOCK_ISO_SIZE];
    DT_AUTO_JSON json_t *none = json_object();
    const struct dt_tb_pty_info info = {
        .id = p->id,
        .cwd = p->cwd,
        .envs = p->envs != NULL ? p->envs : none,
        .cols = p->cols,
        .rows = p->rows,
        .created_at = dt_clock_iso(p->created_ms, when),
        .active = p->terminal != NULL,
        .lazy_start = p->lazy,
    };
    return dt_tb_pty_info_print(&info);
}

json_t *dt_pty_infos(void)
{
    DT_AUTO_JSON json_t *all = json_array();
    for (const struct dt_pty *p = list; p != NULL; p = p->next) {
        if (json_array_insert_new(all, 0, dt_pty_info(p)) < 0)
            return NULL;
    }
    return dt_take(all);
}
