#include "runnerd/notify/listener.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/socketio.h"
#include "runnerd/identity/login.h"

enum {
    CONNECT_MS = 10000, /* from the greeting to the credentials */
    CHECK_MS = 20000,   /* for the issuer and the store to know them */
    PING_MS = 25000,    /* as the greeting says: the original's numbers */
    PONG_MS = 20000,
    MESSAGE_MAX = 32 * 1024, /* a token has at most 16 KiB */
    QUEUE_MAX = 2 * DT_CONN_HIGH_MARK,
    REPLY_MAX = 1024,
};

enum state { GREETED, CHECKING, JOINED, LEAVING };

struct dt_listener {
    struct dt_listener *next, **at; /* in its bucket while it has joined */
    struct dt_runnerd *rd;
    struct dt_ws_conn *ws; /* NULL once it is gone */
    uv_timer_t timer;
    unsigned refs; /* the connection's, the timer's, that of what it waits for */
    enum state state;
    bool silent; /* it was pinged, and has not answered yet */
    char sid[DT_UUID_SIZE];
    char org[DT_UUID_SIZE]; /* that it asks for */
    char *token;            /* while it is CHECKING */
    struct dt_principal who;
};

/* --- its life --- */

static void drop_token(struct dt_listener *l)
{
    if (l->token != NULL)
        explicit_bzero(l->token, strlen(l->token));
    free(l->token);
    l->token = NULL;
}

static void unref(struct dt_listener *l)
{
    if (--l->refs > 0)
        return;
    drop_token(l);
    free(l);
}

static void on_timer_closed(uv_handle_t *h)
{
    unref(h->data);
}

static void leave(struct dt_listener *l)
{
    if (l->state == JOINED) {
        *l->at = l->next;
        if (l->next != NULL)
            l->next->at = l->at;
        l->rd->audience.njoined--;
    }
    l->state = LEAVING;
}

static void on_close(void *ctx, int code, struct dt_str reason)
{
    struct dt_listener *l = ctx;
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", code);
    dt_log(DT_LOG_DEBUG, "a listener is gone", "org", l->who.org, "code", text, NULL);
    (void)reason;
    leave(l);
    l->ws = NULL;
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
    unref(l);
}

/* Clients hang up themselves at once; others have no time to lose. */
static void hang_up(struct dt_listener *l, int code, const char *why)
{
    leave(l);
    (void)uv_timer_stop(&l->timer);
    if (l->ws != NULL)
        dt_ws_conn_close(l->ws, code, dt_str_z(why));
}

void dt_listener_send(struct dt_listener *l, struct dt_str message)
{
    if (l->ws == NULL || dt_ws_conn_send(l->ws, DT_WS_TEXT, message))
        return;
    dt_log(DT_LOG_INFO, "a listener does not read", "org", l->who.org, NULL);
    hang_up(l, DT_WS_POLICY, "slow consumer");
}

void dt_listener_dismiss(struct dt_listener *l, const char *why)
{
    dt_log(DT_LOG_INFO, "a listener must go", "org", l->who.org, "why", why, NULL);
    dt_listener_send(l, DT_STR(DT_SOCKETIO_DISCONNECT_TEXT));
    hang_up(l, DT_WS_POLICY, why);
}

static void refuse(struct dt_listener *l, struct dt_str space, const char *why)
{
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, REPLY_MAX);
    if (dt_socketio_put_refused(&b, space, why, NULL) == 0)
        dt_listener_send(l, dt_buf_str(&b));
}

/* Not beyond the end of its credentials. */
static void wait_for(struct dt_listener *l, int64_t ms, uv_timer_cb then)
{
    int64_t left = l->who.expires_ms > 0 ? l->who.expires_ms - dt_clock_real_ms() : ms;
    if (left < ms)
        ms = left > 0 ? left + 2 : 0;
    (void)uv_timer_start(&l->timer, then, (uint64_t)ms, 0);
}

static void on_timer(uv_timer_t *t)
{
    struct dt_listener *l = t->data;
    if (l->state != JOINED) {
        hang_up(l, DT_WS_POLICY, "it took too long to connect");
    } else if (!dt_listener_holds(l, dt_clock_real_ms())) {
        dt_listener_dismiss(l, DT_LISTENER_OVER);
    } else if (l->silent) {
        hang_up(l, DT_WS_GOING_AWAY, "ping timeout");
    } else {
        l->silent = true;
        dt_listener_send(l, DT_STR(DT_SOCKETIO_PING_TEXT));
        if (l->state == JOINED)
            wait_for(l, PONG_MS, on_timer);
    }
}

static void on_pong(struct dt_listener *l)
{
    if (l->state != JOINED || !l->silent)
        return;
    l->silent = false;
    wait_for(l, PING_MS, on_timer);
}

/* --- who it is --- */

struct dt_listener *dt_listener_next(const struct dt_listener *l)
{
    return l->next;
}

const char *dt_listener_org(const struct dt_listener *l)
{
    return l->who.org;
}

bool dt_listener_holds(struct dt_listener *l, int64_t now_ms)
{
    char org[DT_UUID_SIZE];
    struct dt_err ignored;
    memcpy(org, l->who.org, sizeof(org));
    return (l->who.expires_ms == 0 || l->who.expires_ms > now_ms) &&
           dt_principal_enter(l->rd, &l->who, org, &ignored) == 0;
}

bool dt_listener_may(const struct dt_listener *l, uint32_t permissions)
{
    return (permissions & ~l->who.permissions) == 0;
}

static int check_room(const struct dt_listener *l, struct dt_err *err)
{
    const struct dt_config_runnerd *config = l->rd->config;
    if (l->rd->audience.njoined >= config->notification_clients_max)
        return dt_err_set(err, DT_E_UNAVAILABLE,
                          "too many clients listen to this server: poll instead");
    if (dt_audience_count(&l->rd->audience, l->who.org) >=
        config->notification_clients_per_organization)
        return dt_err_set(err, DT_E_UNAVAILABLE,
                          "too many clients of this organization listen: poll instead");
    return 0;
}

/* 1: it cannot be said yet. */
static int admit(struct dt_listener *l, struct dt_err *err)
{
    struct dt_principal *who = &l->who;
    int got = dt_principal_read_bearer(l->rd, dt_str_z(l->token), who, err);
    if (got != 0)
        return got;
    if (who->kind == DT_BY_SERVICE)
        return dt_err_set(err, DT_E_UNAUTHORIZED, "Unauthorized: this is the key of a service");
    if (who->kind != DT_BY_KEY && l->org[0] == '\0')
        return dt_err_set(err, DT_E_UNAUTHORIZED,
                          "Unauthorized: name the organization with organizationId in the query");
    if (dt_principal_enter(l->rd, who, who->kind == DT_BY_KEY ? who->org : l->org, err) < 0)
        return -1;
    return check_room(l, err);
}

static void join(struct dt_listener *l)
{
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, REPLY_MAX);
    l->at = dt_audience_bucket(&l->rd->audience, l->who.org);
    l->next = *l->at;
    if (l->next != NULL)
        l->next->at = &l->next;
    *l->at = l;
    l->rd->audience.njoined++;
    l->state = JOINED;
    wait_for(l, PING_MS, on_timer);
    if (dt_socketio_put_connected(&b, l->sid, NULL) == 0)
        dt_listener_send(l, dt_buf_str(&b));
}

static void on_login(void *ctx);

static void check(struct dt_listener *l, bool waited)
{
    struct dt_err err;
    int got = admit(l, &err);
    if (got == 1 && !waited) {
        l->refs++;
        got = dt_login_wait(l->rd, dt_str_z(l->token), on_login, l, &err);
        if (got == 0)
            return;
        l->refs--;
    } else if (got == 1) {
        got = dt_err_set(&err, DT_E_UNAVAILABLE, "Temporary authentication service error");
    }
    drop_token(l);
    if (got == 0) {
        join(l);
    } else {
        refuse(l, DT_STR("/"), err.msg);
        hang_up(l, DT_WS_NORMAL, "");
    }
}

static void on_login(void *ctx)
{
    struct dt_listener *l = ctx;
    if (l->state == CHECKING)
        check(l, true);
    unref(l);
}

static const char *closed_to_all(const struct dt_config_runnerd *config)
{
    if (config->maintenance_mode)
        return "Service is currently under maintenance. Please try again later.";
    return config->notification_gateway_disabled
               ? "this server sends no notifications: poll instead"
               : NULL;
}

static void on_connect(struct dt_listener *l, const struct dt_socketio_packet *p)
{
    const char *token = dt_json_text(p->data, "token", NULL), *why = closed_to_all(l->rd->config);
    if (!dt_str_eq(p->space, DT_STR("/"))) {
        refuse(l, p->space, "Invalid namespace");
        return;
    }
    if (l->state != GREETED)
        return;
    if (token == NULL && why == NULL)
        why = "Unauthorized: send {\"token\": <API key or access token>}";
    if (why != NULL || (l->token = strdup(token)) == NULL) {
        refuse(l, DT_STR("/"), why != NULL ? why : "out of memory");
        hang_up(l, DT_WS_NORMAL, "");
        return;
    }
    l->state = CHECKING;
    (void)uv_timer_start(&l->timer, on_timer, CHECK_MS, 0);
    check(l, false);
}

/* --- its messages --- */

static void on_packet(struct dt_listener *l, const struct dt_socketio_packet *p)
{
    switch (p->type) {
    case DT_SOCKETIO_PING:
        dt_listener_send(l, DT_STR(DT_SOCKETIO_PONG_TEXT));
        break;
    case DT_SOCKETIO_PONG:
        on_pong(l);
        break;
    case DT_SOCKETIO_CONNECT:
        on_connect(l, p);
        break;
    case DT_SOCKETIO_CLOSE:
    case DT_SOCKETIO_DISCONNECT:
        hang_up(l, DT_WS_NORMAL, "");
        break;
    case DT_SOCKETIO_NOTHING:
    case DT_SOCKETIO_EVENT: /* nothing that a client may say here has a meaning */
    case DT_SOCKETIO_ACK:
        break;
    }
}

static void on_message(void *ctx, enum dt_ws_opcode kind, struct dt_str message)
{
    struct dt_listener *l = ctx;
    struct dt_socketio_packet p;
    struct dt_err err;
    if (l->state == LEAVING)
        return;
    if (kind != DT_WS_TEXT)
        hang_up(l, DT_WS_PROTOCOL, "only text is understood here");
    else if (dt_socketio_read(message, &p, &err) < 0)
        hang_up(l, DT_WS_PROTOCOL, err.msg);
    else {
        on_packet(l, &p);
        dt_socketio_done(&p);
    }
}

static const struct dt_ws_events events = {.on_message = on_message, .on_close = on_close};

/* --- the upgrade --- */

static void greet(struct dt_listener *l)
{
    const struct dt_socketio_open open = {
        .sid = l->sid, .ping_ms = PING_MS, .timeout_ms = PONG_MS, .message_max = MESSAGE_MAX};
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, REPLY_MAX);
    if (dt_socketio_put_open(&b, &open, NULL) == 0)
        dt_listener_send(l, dt_buf_str(&b));
}

/* What cannot be the id of an organization is that of none. */
static int read_org(const struct dt_http_req *req, char org[DT_UUID_SIZE], struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf id;
    dt_buf_init(&id, 4096);
    int got = dt_http_query_get(dt_http_req_query(req), "organizationId", &id, err);
    if (got < 0)
        return -1;
    bool fits = got > 0 && id.n == DT_UUID_SIZE - 1;
    (void)snprintf(org, DT_UUID_SIZE, "%s", fits ? id.p : got > 0 && id.n > 0 ? "-" : "");
    return 0;
}

int dt_listener_accept(struct dt_runnerd *rd, struct dt_http_req *req, struct dt_err *err)
{
    uv_loop_t *loop = rd->loop;
    if (rd->audience.all.count - rd->audience.njoined >= DT_AUDIENCE_WAITING_MAX)
        return dt_err_set(err, DT_E_UNAVAILABLE, "too many clients at once: try again soon");
    struct dt_listener *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    l->rd = rd;
    dt_rand_uuid(l->sid);
    const struct dt_ws_opts opts = {.events = &events,
                                    .ctx = l,
                                    .group = &rd->audience.all,
                                    .message_max = MESSAGE_MAX,
                                    .queue_max = QUEUE_MAX};
    if (read_org(req, l->org, err) < 0 || dt_ws_conn_upgrade(req, &opts, &l->ws, err) < 0) {
        free(l);
        return -1;
    }
    l->refs = 2;
    (void)uv_timer_init(loop, &l->timer);
    l->timer.data = l;
    (void)uv_timer_start(&l->timer, on_timer, CONNECT_MS, 0);
    greet(l);
    return 0;
}
