/*
 * The text that clients read out of a journal.
 *
 * Marked text says whose bytes follow by three bytes of 1 (standard output) or 2 (standard error)
 * wherever that changes. So that a run of 1s or 2s in the output itself is never taken for that,
 * markers are put between its bytes: clients drop them, and every byte arrives in its stream.
 */
#ifndef DT_TOOLBOX_LOGTEXT_H
#define DT_TOOLBOX_LOGTEXT_H

#include "base/buf.h"
#include "toolbox/journal.h"

enum dt_logtext_form {
    DT_LOGTEXT_MARKED,
    DT_LOGTEXT_COMBINED, /* both streams, as a terminal would show them */
    DT_LOGTEXT_OUT,
    DT_LOGTEXT_ERR,
};

/* The most that one call of dt_logtext_next() adds: each byte may need two markers, and six bytes
 * in JSON. */
enum { DT_LOGTEXT_PART_MAX = (DT_JOURNAL_BLOCK + 128) * 7 * 6 };

struct dt_logtext {
    enum dt_logtext_form form;
    bool json; /* escaped for a JSON string, bytes that are no UTF-8 as U+FFFD */
    struct dt_journal_cursor cursor;
    uint64_t until; /* ends when it is past this; UINT64_MAX by default */
    int stream;     /* of the last byte; -1: none yet */
    char last;
    unsigned run;  /* how often it stands there, since the last marker */
    char carry[4]; /* of a character whose rest is to come */
    size_t ncarry;
};

void dt_logtext_init(struct dt_logtext *t, enum dt_logtext_form form, bool json);
/* Appends what comes next. Returns 1, 0 at the end of what there is, or -1 (NOMEM, TOO_LARGE). */
int dt_logtext_next(struct dt_logtext *t, struct dt_journal *j, struct dt_buf *out,
                    struct dt_err *err) DT_MUST_CHECK;
/* After the last part: appends what is left of a character that never became whole. */
int dt_logtext_end(struct dt_logtext *t, struct dt_buf *out, struct dt_err *err) DT_MUST_CHECK;

#endif
