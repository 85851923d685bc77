#include "mcp/lifecycle.h"

struct state {
    struct dt_mcp_create_sandbox_in in;
    struct dt_lifecycle life;
    bool reused;
};

static int parse_input(json_t *args, void *state, struct dt_err *err)
{
    return dt_mcp_create_sandbox_in_parse(args, state, err);
}

static void done_state(void *state)
{
    struct state *s = state;
    dt_lifecycle_done(&s->life);
    dt_mcp_create_sandbox_in_done(&s->in);
}

static void on_destroyed(void *ctx, const struct dt_api_reply *reply, const struct dt_err *err)
{
    (void)ctx;
    (void)reply;
    (void)err; /* whoever lists the sandboxes will see it */
}

/* Nobody learns the id of what a cancelled call made. */
static void undo(struct dt_call *c, const struct dt_api_reply *reply)
{
    const struct state *s = c->state;
    const char *id = reply != NULL ? dt_json_text(reply->json, "id", NULL) : s->life.id;
    struct dt_api_op *op;
    struct dt_api_req r;
    if (id == NULL)
        return;
    dt_api_req_init(&r, "DELETE");
    if (dt_api_target(&r, NULL, "/sandbox/%s", id) == 0)
        (void)!dt_api_start(c->session->api, &r, on_destroyed, NULL, &op, NULL);
    else
        dt_api_req_done(&r);
}

static void on_started(struct dt_call *c, const json_t *sandbox)
{
    static const char *const shown[] = {"id",  "name",   "state", "snapshot",
                                        "cpu", "memory", "disk",  NULL};
    const struct state *s = c->state;
    json_t *all = dt_tool_pick(sandbox, shown);
    (void)json_object_set_new(all, "reused", json_boolean(s->reused));
    dt_tool_result(c, all);
}

static void on_created(struct dt_call *c, const struct dt_api_reply *reply,
                       const struct dt_err *err)
{
    struct state *s = c->state;
    if (err == NULL)
        dt_lifecycle_settle(c, &s->life, reply->json);
    else if (err->code == DT_E_CONFLICT)
        dt_tool_fail(c, err,
                     "Choose another name, or call list_sandboxes and reuse one by its id.");
    else if (err->code == DT_E_NOT_FOUND && json_array_size(s->in.volumes) > 0)
        dt_tool_fail(
            c, err,
            "Choose one that exists (the SDK's volume.create() and POST /volumes make one), or "
            "call create_sandbox without volumes.");
    else if (err->code == DT_E_NOT_FOUND)
        dt_tool_fail(c, err, "Call create_sandbox without snapshot for the default one.");
    else
        dt_tool_fail(c, err, NULL);
}

/* NULL when the server can do it. */
static const char *unsupported(const struct dt_mcp_create_sandbox_in *in)
{
    if (in->build_info != NULL && json_object_size(in->build_info) > 0)
        return "build_info is not supported yet: sandboxes cannot be built from a Dockerfile. "
               "Leave it "
               "out, name a snapshot, and install what is needed with execute_command.";
    if (in->gpu > 0)
        return "gpu is not supported yet: this server has no GPUs to give. Call create_sandbox "
               "without "
               "it.";
    return NULL;
}

static void set_text(json_t *to, const char *key, const char *value)
{
    if (value != NULL)
        (void)json_object_set_new(to, key, json_string(value));
}

static void set_number(json_t *to, const char *key, double value, bool has)
{
    if (!has)
        return;
    bool whole = value >= -9e15 && value <= 9e15 && (double)(int64_t)value == value;
    (void)json_object_set_new(to, key, whole ? json_integer((int64_t)value) : json_real(value));
}

/* The schema has seen to it that both are there, in one spelling or the other. */
static void set_mount(json_t *to, const char *key, const json_t *from, const char *name)
{
    json_t *value = json_object_get(from, name);
    (void)json_object_set(to, key, value != NULL ? value : json_object_get(from, key));
}

static json_t *make_volumes(const json_t *asked)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(asked); i++) {
        json_t *one = json_object();
        set_mount(one, "volumeId", json_array_get(asked, i), "volume_id");
        set_mount(one, "mountPath", json_array_get(asked, i), "mount_path");
        (void)json_array_append_new(all, one);
    }
    return all;
}

static json_t *make_body(const struct dt_mcp_create_sandbox_in *in)
{
    json_t *b = json_object();
    set_text(b, "name", in->name);
    set_text(b, "target", in->target);
    set_text(b, "snapshot", in->snapshot);
    set_text(b, "user", in->user);
    set_text(b, "networkAllowList", in->network_allow_list);
    set_number(b, "cpu", in->cpu, in->has_cpu);
    set_number(b, "memory", in->memory, in->has_memory);
    set_number(b, "disk", in->disk, in->has_disk);
    set_number(b, "autoStopInterval", (double)in->auto_stop_interval, in->has_auto_stop_interval);
    set_number(b, "autoArchiveInterval", (double)in->auto_archive_interval,
               in->has_auto_archive_interval);
    set_number(b, "autoDeleteInterval", (double)in->auto_delete_interval,
               in->has_auto_delete_interval);
    if (in->has_network_block_all)
        (void)json_object_set_new(b, "networkBlockAll", json_boolean(in->network_block_all));
    if (in->has_is_public)
        (void)json_object_set_new(b, "public", json_boolean(in->is_public));
    if (in->env != NULL)
        (void)json_object_set(b, "env", in->env);
    if (in->labels != NULL)
        (void)json_object_set(b, "labels", in->labels);
    if (json_array_size(in->volumes) > 0)
        (void)json_object_set_new(b, "volumes", make_volumes(in->volumes));
    return b;
}

static void run(struct dt_call *c)
{
    struct state *s = c->state;
    const char *why = unsupported(&s->in);
    s->life.wanted = "started";
    s->life.then = on_started;
    if (why != NULL) {
        dt_tool_failf(c, "%s", why);
        return;
    }
    if (s->in.id != NULL && s->in.id[0] != '\0') {
        s->reused = true;
        dt_lifecycle_move(c, &s->life, s->in.id, "start");
        return;
    }
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "POST");
    if (dt_api_target(&r, &err, "/sandbox") == 0 &&
        dt_api_json_body(&r, make_body(&s->in), &err) == 0) {
        c->undo = undo;
        dt_call_fetch(c, &r, on_created);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_create_sandbox = {.state_size = sizeof(struct state),
                                               .parse = parse_input,
                                               .done = done_state,
                                               .run = run,
                                               .doing = "creating the sandbox"};
