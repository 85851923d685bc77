/*
 * The inside of sandbox.h: sandbox_table.c keeps the structs, sandbox.c takes them from state to
 * state, sandbox_ask.c has the requests that make, start and end sandboxes, sandbox_change.c those
 * of running ones, sandbox_job.c what workers answer.
 */
#ifndef DT_LAUNCHER_SANDBOX_IN_H
#define DT_LAUNCHER_SANDBOX_IN_H

#include "runnerd/launcher/launcher.h"
#include "runnerd/launcher/sandbox.h"

/* sandbox_table.c. A new one can be found by its id, and waits; NULL without memory. */
struct dt_sandbox *dt_sandbox_new(struct dt_launcher *l, const uint8_t id[16]);
void dt_sandbox_free(struct dt_sandbox *s);
struct dt_sandbox **dt_sandbox_bucket(struct dt_launcher *l, const uint8_t id[16]);
/* Around a change of its id. */
void dt_sandbox_link(struct dt_sandbox *s);
void dt_sandbox_unlink(struct dt_sandbox *s);
void dt_sandbox_wait_for_kit(struct dt_sandbox *s);
void dt_sandbox_wait_no_more(struct dt_sandbox *s);
void dt_sandbox_leave_warm(struct dt_sandbox *s);
/* What is only needed until the first process has it; until it is owned. */
void dt_sandbox_drop_materials(struct dt_sandbox *s);
void dt_sandbox_drop_request(struct dt_sandbox *s);
/* Its folder, opened, or -1 with errno; into the trash with it. */
int dt_sandbox_folder(const struct dt_sandbox *s);
int dt_sandbox_throw_away(struct dt_launcher *l, const uint8_t id[16],
                          struct dt_err *err) DT_MUST_CHECK;

/* sandbox.c */
void dt_sandbox_step(struct dt_sandbox *s, enum dt_sandbox_state next);
/* Once it has all it waits for. */
void dt_sandbox_launch(struct dt_sandbox *s);
/* Owned and executed. */
void dt_sandbox_started(struct dt_sandbox *s);
/* Ends a CREATE or START that cannot succeed. */
void dt_sandbox_fail(struct dt_sandbox *s, const struct dt_err *why);
/* One that was started ahead will not be needed. */
void dt_sandbox_give_up(struct dt_sandbox *s);
/* A signal to its first process, until its grace is over. */
void dt_sandbox_ask_to_end(struct dt_sandbox *s);
void dt_sandbox_kill(struct dt_sandbox *s);
/* No process is left, or there never was one. */
void dt_sandbox_end(struct dt_sandbox *s);
/* Its kernel objects are released and its disk is free: answered and freed. */
void dt_sandbox_finish(struct dt_sandbox *s);
void dt_sandbox_on_timer(void *ctx);
/* Of a process that there is already. */
int dt_sandbox_watch(struct dt_sandbox *s, struct dt_err *err) DT_MUST_CHECK;

/* sandbox_ask.c */
void dt_sandbox_refuse(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked,
                       enum dt_lw_result result, const char *text);
/* sandbox_change.c: so that the next launcher does not take it for half-made. */
void dt_sandbox_mark_created(struct dt_sandbox *s);

#endif
