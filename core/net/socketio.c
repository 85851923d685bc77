#include "net/socketio.h"

enum { ID_MAX = INT32_MAX };

static int malformed(struct dt_err *err, const char *why)
{
    return dt_err_set(err, DT_E_INVALID, "no packet of Socket.IO 5: %s", why);
}

static bool next(struct dt_str *in, char *ret)
{
    if (in->n == 0)
        return false;
    *ret = in->p[0];
    *in = dt_str(in->p + 1, in->n - 1);
    return true;
}

/* `/name,` in front of everything else; a query behind the name does not count. */
static int read_space(struct dt_str *in, struct dt_str *ret, struct dt_err *err)
{
    struct dt_str name, query;
    *ret = DT_STR("/");
    if (!dt_str_starts(*in, DT_STR("/")))
        return 0;
    (void)dt_str_cut(in, ',', &name);
    query = name;
    (void)dt_str_cut(&query, '?', ret);
    return name.n <= DT_SOCKETIO_NAMESPACE_MAX ? 0 : malformed(err, "the namespace is too long");
}

static int read_id(struct dt_str *in, struct dt_socketio_packet *p, struct dt_err *err)
{
    unsigned long long id = 0;
    size_t n = 0;
    while (n < in->n && in->p[n] >= '0' && in->p[n] <= '9')
        n++;
    if (n == 0)
        return 0;
    if (dt_str_u64(dt_str(in->p, n), ID_MAX, &id) < 0)
        return malformed(err, "the id is too large");
    p->has_id = true;
    p->id = (uint32_t)id;
    *in = dt_str(in->p + n, in->n - n);
    return 0;
}

static bool data_fits(const struct dt_socketio_packet *p)
{
    switch (p->type) {
    case DT_SOCKETIO_CONNECT:
        return !p->has_id && (p->data == NULL || json_is_object(p->data));
    case DT_SOCKETIO_DISCONNECT:
        return !p->has_id && p->data == NULL;
    case DT_SOCKETIO_EVENT:
        return json_is_string(json_array_get(p->data, 0));
    case DT_SOCKETIO_ACK:
        return p->has_id && json_is_array(p->data);
    case DT_SOCKETIO_CLOSE:
    case DT_SOCKETIO_PING:
    case DT_SOCKETIO_PONG:
    case DT_SOCKETIO_NOTHING:
        break;
    }
    return false;
}

static int read_message(struct dt_str in, struct dt_socketio_packet *p, struct dt_err *err)
{
    char type = '\0';
    if (!next(&in, &type) || type < '0' || type > '3')
        return malformed(err, "its type is none that a client may send");
    p->type = (enum dt_socketio_type)(DT_SOCKETIO_CONNECT + (type - '0'));
    if (read_space(&in, &p->space, err) < 0 || read_id(&in, p, err) < 0)
        return -1;
    if (in.n > 0 && (p->data = dt_json_parse(in, DT_SOCKETIO_DEPTH_MAX, err)) == NULL)
        return -1;
    if (data_fits(p))
        return 0;
    p->data = dt_json_free(p->data);
    return malformed(err, "what it carries does not go with its type");
}

int dt_socketio_read(struct dt_str message, struct dt_socketio_packet *ret, struct dt_err *err)
{
    static const struct {
        char letter;
        enum dt_socketio_type type;
    } own[] = {{'1', DT_SOCKETIO_CLOSE},
               {'2', DT_SOCKETIO_PING},
               {'3', DT_SOCKETIO_PONG},
               {'5', DT_SOCKETIO_NOTHING},
               {'6', DT_SOCKETIO_NOTHING}};
    struct dt_socketio_packet p = {.space = DT_STR("/")};
    char letter = '\0';
    if (!next(&message, &letter))
        return malformed(err, "it is empty");
    if (letter == '4') {
        if (read_message(message, &p, err) < 0)
            return -1;
        *ret = p;
        return 0;
    }
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (own[i].letter != letter)
            continue;
        p.type = own[i].type;
        *ret = p;
        return 0;
    }
    return malformed(err, "its type is unknown");
}

void dt_socketio_done(struct dt_socketio_packet *p)
{
    p->data = dt_json_free(p->data);
}

int dt_socketio_put_open(struct dt_buf *out, const struct dt_socketio_open *o, struct dt_err *err)
{
    return dt_buf_addf(out, err,
                       "0{\"sid\":\"%s\",\"upgrades\":[],\"pingInterval\":%u,\"pingTimeout\":%u,"
                       "\"maxPayload\":%zu}",
                       o->sid, o->ping_ms, o->timeout_ms, o->message_max);
}

int dt_socketio_put_connected(struct dt_buf *out, const char *sid, struct dt_err *err)
{
    return dt_buf_addf(out, err, "40{\"sid\":\"%s\"}", sid);
}

int dt_socketio_put_refused(struct dt_buf *out, struct dt_str space, const char *why,
                            struct dt_err *err)
{
    DT_AUTO_JSON json_t *j = json_pack("{s:s}", "message", why);
    if (j == NULL)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    if (dt_buf_addz(out, "44", err) < 0)
        return -1;
    if (!dt_str_eq(space, DT_STR("/")) &&
        (dt_buf_adds(out, space, err) < 0 || dt_buf_addz(out, ",", err) < 0))
        return -1;
    return dt_json_write(j, out, err);
}

int dt_socketio_put_event(struct dt_buf *out, const char *name, const json_t *data,
                          struct dt_err *err)
{
    DT_AUTO_JSON json_t *j = json_pack("[s,O]", name, data);
    if (j == NULL)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    return dt_buf_addz(out, "42", err) < 0 ? -1 : dt_json_write(j, out, err);
}
