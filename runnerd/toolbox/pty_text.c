#include "toolbox/pty_text.h"

#include <stdio.h>
#include <sys/wait.h>

#include "base/base64.h"
#include "base/utf8.h"
#include "toolbox/guest.h"

enum { ENVS_MAX = 64 * 1024, WHY_MAX = 300 };

static bool is_plain(struct dt_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == 0x7f || strchr("/\\?#%", c) != NULL)
            return false;
    }
    return dt_utf8_valid(s);
}

int dt_pty_check_id(struct dt_str id, struct dt_err *err)
{
    if (id.n == 0)
        return dt_err_set(err, DT_E_BAD_REQUEST, "session ID is required");
    if (id.n > DT_PTY_ID_MAX)
        return dt_err_set(err, DT_E_BAD_REQUEST, "a PTY's session ID may have at most %d bytes",
                          DT_PTY_ID_MAX);
    bool special = dt_str_eq(id, DT_STR(".")) || dt_str_eq(id, DT_STR("..")) ||
                   dt_str_eq(id, DT_STR("create-connect"));
    if (special || !is_plain(id))
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "a PTY's session ID stands in URLs: it may hold neither / \\ ? # %% nor "
                          "control characters, and not be '.', '..' or 'create-connect'");
    return 0;
}

int dt_pty_check_size(int64_t cols, int64_t rows, struct dt_err *err)
{
    if (cols <= DT_PTY_SIDE_MAX && rows <= DT_PTY_SIDE_MAX)
        return 0;
    return dt_err_set(err, DT_E_BAD_REQUEST, "invalid value for %s - must be less than %d",
                      cols > DT_PTY_SIDE_MAX ? "cols" : "rows", DT_PTY_SIDE_MAX);
}

int dt_pty_envs(struct dt_str item, json_t **ret, struct dt_err *err)
{
    const struct dt_str prefix = DT_STR(DT_PTY_ENVS);
    struct dt_err why;
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, ENVS_MAX);
    if (!dt_str_starts(item, prefix) ||
        dt_base64url_decode(&text, dt_str(item.p + prefix.n, item.n - prefix.n), &why) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "the environment (" DT_PTY_ENVS ") must be a JSON object in Base64url");
    DT_AUTO_JSON json_t *j = dt_json_parse(dt_buf_str(&text), 2, &why);
    if (!json_is_object(j))
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "the environment (" DT_PTY_ENVS ") must be a JSON object of strings");
    if (dt_env_check(j, err) < 0)
        return -1;
    *ret = dt_take(j);
    return 0;
}

int dt_pty_exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* NULL: it ended well. */
static const char *exit_reason(int code, char room[32])
{
    switch (code) {
    case 0:
        return NULL;
    case 130:
        return "Ctrl+C";
    case 137:
        return "SIGKILL";
    case 143:
        return "SIGTERM";
    default:
        (void)snprintf(room, 32, code > 128 ? "signal %d" : "non-zero exit", code - 128);
        return room;
    }
}

static struct dt_str with_end(const char *head, int code, struct dt_pty_text *room)
{
    char word[32];
    const char *why = exit_reason(code, word);
    int n = why == NULL ? snprintf(room->p, sizeof(room->p), "{%s\"exitCode\":%d}", head, code)
                        : snprintf(room->p, sizeof(room->p),
                                   "{%s\"exitCode\":%d,\"exitReason\":\"%s\"}", head, code, why);
    return dt_str(room->p, (size_t)n);
}

struct dt_str dt_pty_connected(void)
{
    return DT_STR("{\"type\":\"control\",\"status\":\"connected\"}");
}

struct dt_str dt_pty_exited(int exit_code, struct dt_pty_text *room)
{
    return with_end("\"type\":\"control\",\"status\":\"exited\",", exit_code, room);
}

struct dt_str dt_pty_close_reason(int exit_code, struct dt_pty_text *room)
{
    return with_end("", exit_code, room);
}

struct dt_str dt_pty_failed(const char *why, struct dt_pty_text *room)
{
    char text[WHY_MAX + 64];
    DT_AUTO_BUF struct dt_buf out, clean;
    dt_buf_init(&out, sizeof(room->p) - 1);
    dt_buf_init(&clean, sizeof(text) * 3);
    (void)snprintf(text, sizeof(text), "Failed to connect to PTY session: %.*s", WHY_MAX, why);
    DT_AUTO_JSON json_t *j = NULL;
    if (dt_utf8_repair(&clean, dt_str_z(text), NULL) == 0)
        j = json_pack("{s:s, s:s, s:s#}", "type", "control", "status", "error", "error", clean.p,
                      (int)dt_utf8_cut(dt_buf_str(&clean), WHY_MAX));
    if (j == NULL || dt_json_write(j, &out, NULL) < 0)
        return DT_STR("{\"type\":\"control\",\"status\":\"error\",\"error\":"
                      "\"Failed to connect to PTY session\"}");
    memcpy(room->p, out.p, out.n);
    return dt_str(room->p, out.n);
}
