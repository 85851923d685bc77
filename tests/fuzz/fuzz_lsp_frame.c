/* What language servers print: the same messages must come out whatever the pieces they come in. */
#include <assert.h>
#include <stdint.h>

#include "toolbox/lsp_frame.h"
#include "toolbox/lsp_result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
    uint64_t hash;
    size_t messages;
};

static void mix(struct sum *s, struct dt_str m)
{
    for (size_t i = 0; i < m.n; i++)
        s->hash = (s->hash ^ (unsigned char)m.p[i]) * 1099511628211u;
    s->hash = (s->hash ^ 256) * 1099511628211u;
    s->messages++;
}

static void use(struct dt_str m)
{
    DT_AUTO_JSON json_t *j = dt_json_parse(m, 128, NULL);
    DT_AUTO_JSON json_t *list = json_array();
    (void)dt_lsp_symbols_add(list, json_object_get(j, "result"), "file:///a", NULL);
    DT_AUTO_JSON json_t *items = dt_lsp_completions(json_object_get(j, "result"));
    assert(list != NULL && items != NULL);
}

static int run(struct dt_str in, size_t step, bool used, struct sum *s)
{
    struct dt_lsp_frame f;
    struct dt_str message;
    int r = 0;
    *s = (struct sum){14695981039346656037u, 0};
    dt_lsp_frame_init(&f);
    for (size_t i = 0; r == 0 && i < in.n; i += step) {
        r = dt_lsp_frame_add(&f, in.p + i, in.n - i < step ? in.n - i : step, NULL);
        while (r == 0 && (r = dt_lsp_frame_next(&f, &message, NULL)) > 0) {
            mix(s, message);
            if (used)
                use(message);
            r = 0;
        }
    }
    dt_lsp_frame_done(&f);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_str in = dt_str((const char *)data, size);
    struct sum whole, bytes, threes;
    int r = run(in, size + 1, true, &whole);
    assert(run(in, 1, false, &bytes) == r && bytes.hash == whole.hash);
    assert(run(in, 3, false, &threes) == r && threes.messages == whole.messages);
    return 0;
}
