#include "toolbox/session_script.h"

#include <stdio.h>

static int quote(struct dt_buf *out, struct dt_str s, struct dt_err *err)
{
    struct dt_str piece;
    bool first = true;
    /* The blank: a first word with a dash would be an option of eval's. */
    if (dt_buf_addz(out, "' ", err) < 0)
        return -1;
    for (; dt_str_cut(&s, '\'', &piece); first = false) {
        if (!first && dt_buf_addz(out, "'\\''", err) < 0)
            return -1;
        if (piece.n > 0 && dt_buf_adds(out, piece, err) < 0)
            return -1;
    }
    return dt_buf_addz(out, "'", err);
}

int dt_session_script(struct dt_buf *out, bool bash, struct dt_str command,
                      const struct dt_session_fifos *f, struct dt_err *err)
{
    const char *plain = bash ? "\\builtin" : "\\command";
    char input[256] = "/dev/null";
    if (f->input)
        (void)snprintf(input, sizeof(input), "%s/%lui", f->folder, f->number);
    if (dt_buf_addf(out, err, "%s eval ", plain) < 0 || quote(out, command, err) < 0)
        return -1;
    return dt_buf_addf(out, err, " <%s >%s/%luo 2>%s/%lue 7>&-\n%s printf '%%s\\n' \"$?\" >&7\n",
                       input, f->folder, f->number, f->folder, f->number, plain);
}
