#include "runnerd/mail.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/rand.h"
#include "model/name.h"

enum {
    CONNECT_S = 10,
    TOTAL_S = 30,
    TRIES = 3,
    LETTER_MAX = 64 * 1024,
    LINE = 57, /* bytes that make 76 characters of base64 */
    WORD = 39, /* bytes of an encoded word, whose end is never inside a character */
};

static const uint64_t waits_ms[TRIES] = {0, 2000, 10000};

struct letter {
    struct letter *next;
    char *to;
    struct dt_buf text; /* as it goes out */
    int tries;
};

struct dt_mail {
    uv_loop_t *loop;
    const struct dt_config_runnerd *config;
    char from[DT_NAME_MAX + 1]; /* the address alone */
    uv_work_t work;
    uv_timer_t timer; /* the next try */
    struct letter *first, **last;
    size_t n;
    bool busy; /* `first` is under way */
    atomic_bool closing;
    /* of the letter under way, on the other thread */
    CURLcode result;
    long status;
    size_t sent;
};

static void letter_free(struct letter *l)
{
    free(l->to);
    dt_buf_done(&l->text);
    free(l);
}

/* --- text --- */

/* `Name <address>` or the address alone. */
static int parse_from(const char *text, char out[DT_NAME_MAX + 1], struct dt_err *err)
{
    const char *open = strrchr(text, '<'), *close = strrchr(text, '>');
    struct dt_str address = dt_str_trim(dt_str_z(text));
    if (open != NULL && close != NULL && close > open)
        address = dt_str(open + 1, (size_t)(close - open - 1));
    if (dt_email_check(address, NULL) < 0 || strpbrk(text, "\r\n") != NULL)
        return dt_err_set(
            err, DT_E_INVALID,
            "SMTP_EMAIL_FROM must be an address such as Daytona <daytona@example.com>");
    (void)snprintf(out, DT_NAME_MAX + 1, "%.*s", (int)address.n, address.p);
    return 0;
}

/* A header's text as encoded words (RFC 2047), whatever is in it. */
static int add_encoded(struct dt_buf *out, const char *text, struct dt_err *err)
{
    size_t n = strlen(text);
    for (size_t at = 0; at < n;) {
        size_t end = at + WORD < n ? at + WORD : n;
        while (end < n && end > at + 1 && ((unsigned char)text[end] & 0xc0) == 0x80)
            end--;
        if (dt_buf_addz(out, at > 0 ? "\r\n =?UTF-8?B?" : "=?UTF-8?B?", err) < 0 ||
            dt_base64_encode(out, text + at, end - at, err) < 0 || dt_buf_addz(out, "?=", err) < 0)
            return -1;
        at = end;
    }
    return 0;
}

/* In base64, so that no line of a text means anything to SMTP. */
static int add_body(struct dt_buf *out, const char *text, struct dt_err *err)
{
    size_t n = strlen(text);
    for (size_t at = 0; at < n; at += LINE) {
        if (dt_base64_encode(out, text + at, n - at < LINE ? n - at : LINE, err) < 0 ||
            dt_buf_addz(out, "\r\n", err) < 0)
            return -1;
    }
    return 0;
}

static int write_letter(const struct dt_mail *m, const struct dt_letter *in, struct dt_buf *out,
                        struct dt_err *err)
{
    char date[64], id[DT_UUID_SIZE];
    time_t now = time(NULL);
    struct tm tm;
    dt_rand_uuid(id);
    (void)gmtime_r(&now, &tm);
    (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
    if (dt_buf_addf(out, err,
                    "From: %s\r\nTo: <%s>\r\nDate: %s\r\nMessage-ID: <%s@daytona>\r\nSubject: ",
                    m->config->smtp_email_from, in->to, date, id) < 0 ||
        add_encoded(out, in->subject, err) < 0 ||
        dt_buf_addz(out,
                    "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    "Content-Transfer-Encoding: base64\r\nAuto-Submitted: auto-generated\r\n\r\n",
                    err) < 0)
        return -1;
    return add_body(out, in->text, err);
}

/* --- on the other thread --- */

static size_t on_read(char *p, size_t size, size_t n, void *ctx)
{
    struct dt_mail *m = ctx;
    const struct dt_buf *text = &m->first->text;
    size_t want = size * n, left = text->n - m->sent;
    if (want > left)
        want = left;
    memcpy(p, text->p + m->sent, want);
    m->sent += want;
    return want;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct dt_mail *m = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&m->closing) ? 1 : 0;
}

static bool is_local(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
           strcmp(host, "::1") == 0;
}

/* No password leaves the machine in the clear. */
static long tls_of(const struct dt_config_runnerd *config)
{
    bool secret = config->smtp_user != NULL && config->smtp_user[0] != '\0';
    return secret && !is_local(config->smtp_host) ? (long)CURLUSESSL_ALL : (long)CURLUSESSL_TRY;
}

static void set_up(CURL *c, struct dt_mail *m, const struct curl_slist *to, const char *url)
{
    const struct dt_config_runnerd *config = m->config;
    (void)curl_easy_setopt(c, CURLOPT_URL, url);
    (void)curl_easy_setopt(c, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)TOTAL_S);
    (void)curl_easy_setopt(c, CURLOPT_USE_SSL, tls_of(config));
    if (config->smtp_user != NULL && config->smtp_user[0] != '\0') {
        (void)curl_easy_setopt(c, CURLOPT_USERNAME, config->smtp_user);
        (void)curl_easy_setopt(c, CURLOPT_PASSWORD,
                               config->smtp_password != NULL ? config->smtp_password : "");
    }
    (void)curl_easy_setopt(c, CURLOPT_MAIL_FROM, m->from);
    (void)curl_easy_setopt(c, CURLOPT_MAIL_RCPT, to);
    (void)curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
    (void)curl_easy_setopt(c, CURLOPT_READDATA, m);
    (void)curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, m);
}

static void on_work(uv_work_t *w)
{
    struct dt_mail *m = w->data;
    char url[512];
    struct curl_slist *to = curl_slist_append(NULL, m->first->to);
    CURL *c = curl_easy_init();
    m->result = CURLE_OUT_OF_MEMORY;
    m->status = 0;
    m->sent = 0;
    (void)snprintf(url, sizeof(url), "%s://%.255s:%lld", m->config->smtp_secure ? "smtps" : "smtp",
                   m->config->smtp_host, (long long)m->config->smtp_port);
    if (c != NULL && to != NULL) {
        set_up(c, m, to, url);
        m->result = curl_easy_perform(c);
        (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &m->status);
    }
    curl_easy_cleanup(c);
    curl_slist_free_all(to);
}

/* --- on the loop --- */

static void go_on(struct dt_mail *m);

static void on_timer(uv_timer_t *t)
{
    go_on(t->data);
}

static void drop_first(struct dt_mail *m)
{
    struct letter *l = m->first;
    m->first = l->next;
    if (m->first == NULL)
        m->last = &m->first;
    m->n--;
    letter_free(l);
}

static void on_timer_closed(uv_handle_t *h)
{
    free(h->data);
}

static void release(struct dt_mail *m)
{
    while (m->first != NULL)
        drop_first(m);
    curl_global_cleanup();
    uv_close((uv_handle_t *)&m->timer, on_timer_closed);
}

static void log_result(const struct dt_mail *m, bool last)
{
    char status[16];
    (void)snprintf(status, sizeof(status), "%ld", m->status);
    if (m->result == CURLE_OK)
        dt_log(DT_LOG_INFO, "mail", "to", m->first->to, NULL);
    else
        dt_log(last ? DT_LOG_ERROR : DT_LOG_WARN, "mail", "to", m->first->to, "status", status,
               "err", curl_easy_strerror(m->result), NULL);
}

static void on_worked(uv_work_t *w, int status)
{
    struct dt_mail *m = w->data;
    (void)status;
    m->busy = false;
    if (atomic_load(&m->closing)) {
        release(m);
        return;
    }
    struct letter *l = m->first;
    bool refused = m->status >= 500 && m->status < 600; /* for good */
    bool last = m->result == CURLE_OK || refused || ++l->tries == TRIES;
    log_result(m, last);
    if (last)
        drop_first(m);
    if (m->first != NULL)
        (void)uv_timer_start(&m->timer, on_timer, waits_ms[m->first->tries], 0);
}

static void go_on(struct dt_mail *m)
{
    if (m->busy || m->first == NULL)
        return;
    m->work.data = m;
    m->busy = uv_queue_work(m->loop, &m->work, on_work, on_worked) == 0;
}

int dt_mail_send(struct dt_mail *m, const struct dt_letter *in, struct dt_err *err)
{
    if (m->n >= DT_MAIL_QUEUE_MAX)
        return dt_err_set(err, DT_E_LIMIT, "too many letters wait for the SMTP server");
    struct letter *l = calloc(1, sizeof(*l));
    if (l == NULL || (l->to = strdup(in->to)) == NULL) {
        free(l);
        return dt_err_set(err, DT_E_NOMEM, "mail");
    }
    dt_buf_init(&l->text, LETTER_MAX);
    if (write_letter(m, in, &l->text, err) < 0) {
        letter_free(l);
        return -1;
    }
    *m->last = l;
    m->last = &l->next;
    if (++m->n == 1)
        go_on(m);
    return 0;
}

int dt_mail_new(uv_loop_t *loop, const struct dt_config_runnerd *config, struct dt_mail **ret,
                struct dt_err *err)
{
    char from[DT_NAME_MAX + 1];
    *ret = NULL;
    if (config->smtp_host == NULL || config->smtp_host[0] == '\0')
        return 0;
    if (parse_from(config->smtp_email_from, from, err) < 0)
        return -1;
    struct dt_mail *m = calloc(1, sizeof(*m));
    if (m == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(m);
        return dt_err_set(err, DT_E_NOMEM, "mail");
    }
    m->loop = loop;
    m->config = config;
    m->last = &m->first;
    memcpy(m->from, from, sizeof(from));
    (void)uv_timer_init(loop, &m->timer);
    m->timer.data = m;
    *ret = m;
    return 0;
}

struct dt_mail *dt_mail_free(struct dt_mail *m)
{
    if (m == NULL)
        return NULL;
    atomic_store(&m->closing, true);
    if (!m->busy)
        release(m);
    return NULL;
}
