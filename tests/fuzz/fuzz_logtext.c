/* Logs: whatever a command prints, a client that takes the marked text apart gets both streams to
 * the byte, and the JSON of them parses. Of each two bytes of input the first says how many follow
 * in which stream. */
#include <assert.h>
#include <stdint.h>

#include "../unit/demux.h"
#include "json/json.h"
#include "toolbox/logtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dt_buf shown(struct dt_journal *j, enum dt_logtext_form form, bool json)
{
    struct dt_buf out;
    struct dt_logtext t;
    int got;
    dt_buf_init(&out, 64 << 20);
    if (json && dt_buf_addz(&out, "[\"", NULL) < 0)
        abort();
    dt_logtext_init(&t, form, json);
    while ((got = dt_logtext_next(&t, j, &out, NULL)) > 0)
        ;
    assert(got == 0);
    if (dt_logtext_end(&t, &out, NULL) < 0 || (json && dt_buf_addz(&out, "\"]", NULL) < 0))
        abort();
    return out;
}

static void check_json(struct dt_journal *j, enum dt_logtext_form form)
{
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf text = shown(j, form, true);
    DT_AUTO_JSON json_t *parsed = dt_json_parse(dt_buf_str(&text), 4, &err);
    assert(parsed != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_err err;
    DT_AUTO(dt_journal_free) struct dt_journal *j = NULL;
    if (dt_journal_new("/tmp", &j, &err) < 0)
        abort();
    for (size_t i = 0; i < size;) {
        uint8_t head = data[i++];
        size_t n = head & 0x7f, left = size - i;
        dt_journal_add(j, head & 0x80 ? DT_JOURNAL_ERR : DT_JOURNAL_OUT, (const char *)data + i,
                       n < left ? n : left);
        i += n < left ? n : left;
    }
    DT_AUTO_BUF struct dt_buf marked = shown(j, DT_LOGTEXT_MARKED, false);
    DT_AUTO_BUF struct dt_buf out = shown(j, DT_LOGTEXT_OUT, false);
    DT_AUTO_BUF struct dt_buf errors = shown(j, DT_LOGTEXT_ERR, false);
    struct demux d;
    demux(&d, dt_buf_str(&marked));
    assert(dt_str_eq(dt_buf_str(&d.streams[0]), dt_buf_str(&out)));
    assert(dt_str_eq(dt_buf_str(&d.streams[1]), dt_buf_str(&errors)));
    demux_done(&d);
    for (int form = DT_LOGTEXT_MARKED; form <= DT_LOGTEXT_ERR; form++)
        check_json(j, (enum dt_logtext_form)form);
    return 0;
}
