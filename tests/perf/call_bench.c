/*
 * Times tools/call of an MCP server over pipes: starts it, agrees on revision 2025-11-25, keeps
 * IN_FLIGHT calls under way for SECONDS after a warm-up, and prints calls per second and the median
 * and the 99th percentile of their latency in microseconds. Every answer must belong to a call that
 * is under way; all but those that look like the one before are read for their success.
 *
 * Usage: call_bench SECONDS IN_FLIGHT TOOL ARGUMENTS PROGRAM [ARG ...]
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "mcp_server.h"

enum {
    FLIGHT_MAX = 256,            /* requests that fit into an empty pipe */
    SLOTS = 100000,              /* microseconds that are told apart */
    WARM_NS = 500 * 1000 * 1000, /* a JIT compiler's, above all */
};

struct bench {
    struct mcp_server server;
    struct dt_buf rest; /* of a request, behind its id */
    uint64_t next_id;
    uint64_t started_ns[FLIGHT_MAX]; /* by id modulo FLIGHT_MAX */
    bool counting;
    uint64_t answers;
    size_t usual; /* the length of an answer that was read, but for its id */
    uint32_t latency_us[SLOTS];
    struct dt_buf requests;
};

static bool has(struct dt_str line, struct dt_str word)
{
    return memmem(line.p, line.n, word.p, word.n) != NULL;
}

static void ask(struct bench *b, uint64_t now)
{
    struct dt_err err;
    char digits[20];
    size_t at = sizeof(digits);
    uint64_t id = ++b->next_id;
    b->started_ns[id % FLIGHT_MAX] = now;
    for (; id > 0; id /= 10)
        digits[--at] = (char)('0' + id % 10);
    if (dt_buf_adds(&b->requests, DT_STR("{\"jsonrpc\":\"2.0\",\"id\":"), &err) < 0 ||
        dt_buf_add(&b->requests, digits + at, sizeof(digits) - at, &err) < 0 ||
        dt_buf_adds(&b->requests, dt_buf_str(&b->rest), &err) < 0)
        mcp_die("request", dt_str_z(err.msg));
}

/* The answer's own id is its first or its last member of that name. */
static const char *id_of(struct dt_str line)
{
    static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":", key[] = "\"id\":";
    if (dt_str_starts(line, DT_STR(head)))
        return line.p + sizeof(head) - 1;
    const char *last = line.p + line.n - sizeof(key);
    while (last > line.p && memcmp(last, key, sizeof(key) - 1) != 0)
        last--;
    return last > line.p ? last + sizeof(key) - 1 : "0";
}

static void check(struct bench *b, struct dt_str line, size_t id_digits)
{
    if (b->usual == line.n - id_digits)
        return;
    if (has(line, DT_STR("\"isError\":true")) || !has(line, DT_STR("\"structuredContent\":{")))
        mcp_die("a call failed", line);
    b->usual = line.n - id_digits;
}

static void on_answer(void *ctx, struct dt_str line)
{
    struct bench *b = ctx;
    char *end;
    const char *from = id_of(line);
    uint64_t id = strtoull(from, &end, 10);
    uint64_t *started = &b->started_ns[id % FLIGHT_MAX];
    if (id == 0 || id > b->next_id || *started == 0)
        mcp_die("not an answer to a call", line);
    check(b, line, (size_t)(end - from));
    uint64_t now = dt_clock_ns();
    uint64_t us = (now - *started) / 1000;
    *started = 0;
    b->answers++;
    if (b->counting) {
        b->latency_us[us < SLOTS ? us : SLOTS - 1]++;
        ask(b, now);
    }
}

static void run(struct bench *b, uint64_t flight, uint64_t until_ns)
{
    uint64_t now = dt_clock_ns();
    dt_buf_clear(&b->requests);
    b->answers = 0;
    b->counting = true;
    memset(b->latency_us, 0, sizeof(b->latency_us));
    for (uint64_t i = 0; i < flight; i++)
        ask(b, now);
    while (dt_clock_ns() < until_ns) {
        mcp_server_send(&b->server, dt_buf_str(&b->requests));
        dt_buf_clear(&b->requests);
        mcp_server_read(&b->server, on_answer, b);
    }
}

/* What is still under way; what was asked for but not sent does not count. */
static void finish(struct bench *b, uint64_t flight)
{
    mcp_server_send(&b->server, dt_buf_str(&b->requests));
    b->counting = false;
    for (b->answers = 0; b->answers < flight;)
        mcp_server_read(&b->server, on_answer, b);
}

static uint64_t percentile(const struct bench *b, uint64_t of_1000)
{
    uint64_t seen = 0, us = 0;
    while (us < SLOTS && (seen += b->latency_us[us]) * 1000 < b->answers * of_1000)
        us++;
    return us;
}

int main(int argc, char **argv)
{
    static struct bench b;
    uint64_t flight = argc > 5 ? strtoull(argv[2], NULL, 10) : 0;
    if (flight < 1 || flight > FLIGHT_MAX)
        return 2;
    dt_buf_init(&b.requests, (size_t)64 * 1024);
    dt_buf_init(&b.rest, 4096);
    if (dt_buf_addf(&b.rest, NULL,
                    ",\"method\":\"tools/call\",\"params\":{\"name\":\"%s\",\"arguments\":%s}}\n",
                    argv[3], argv[4]) < 0)
        return 2;
    mcp_server_start(&b.server, argv + 5);
    run(&b, flight, dt_clock_ns() + WARM_NS);
    finish(&b, flight);
    uint64_t begin = dt_clock_ns();
    run(&b, flight, begin + (uint64_t)(strtod(argv[1], NULL) * 1e9));
    double seconds = (double)(dt_clock_ns() - begin) / 1e9;
    printf("%.0f %llu %llu\n", (double)b.answers / seconds, (unsigned long long)percentile(&b, 500),
           (unsigned long long)percentile(&b, 990));
    finish(&b, flight);
    return mcp_server_end(&b.server) ? 0 : 1;
}
