/*
 * Mail over SMTP, by libcurl on a thread of libuv's pool: one letter at a time, at most half a
 * minute each, tried three times. Nothing waits for it. Loop only.
 */
#ifndef DT_MAIL_H
#define DT_MAIL_H

#include <uv.h>

#include "gen/config_runnerd.h"

struct dt_mail;

enum { DT_MAIL_QUEUE_MAX = 200 };

struct dt_letter {
    const char *to; /* a checked e-mail address */
    const char *subject, *text;
};

/* *ret is NULL when the settings name no SMTP server. INVALID: SMTP_EMAIL_FROM is no address. */
int dt_mail_new(uv_loop_t *loop, const struct dt_config_runnerd *config, struct dt_mail **ret,
                struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine. Letters that wait are dropped, one that is under way is broken off. Returns NULL;
 * the loop must run until it has nothing more to do. */
struct dt_mail *dt_mail_free(struct dt_mail *m);
/* Copies the letter. LIMIT: too many wait. What becomes of it is logged. */
int dt_mail_send(struct dt_mail *m, const struct dt_letter *letter,
                 struct dt_err *err) DT_MUST_CHECK;

#endif
