/* One request about a repository: a chain of runs of git, and an answer. */
#ifndef DT_TOOLBOX_GIT_OP_H
#define DT_TOOLBOX_GIT_OP_H

#include "toolbox/git_run.h"
#include "toolbox/reply.h"

struct dt_git_op;

/* What a step does: starts the next run, or answers. -1 answers with the error. */
typedef int dt_git_begin(struct dt_git_op *op, json_t *body, struct dt_err *err);
typedef int dt_git_next(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err);

struct dt_git_op {
    struct dt_toolbox *tb;
    struct dt_http_req *req; /* NULL: nobody waits any more */
    json_t *body;            /* kept: the typed input's texts live as long as the operation */
    char *path;              /* of the repository, absolute */
    struct dt_git_secret secret;
    struct dt_git_run *run;
    dt_git_begin *begin;
    dt_git_next *next;
    void *state; /* free()d with the operation, after state_done; may be NULL */
    void (*state_done)(void *state);
    /* Takes over from a failed operation (err) or from one that nobody waits for (NULL), when
     * something must be tidied up first; nothing runs then. May be NULL. */
    void (*tidy)(struct dt_git_op *op, const struct dt_err *err);
    bool tidying;
    bool begun; /* a part of the answer is out */
};

/* Starts an operation with the JSON body of the request. */
void dt_git_op_body(struct dt_toolbox *tb, struct dt_http_req *req, dt_git_begin *begin);
/* The same for one that has a query only: begin gets NULL and reads op->req. */
void dt_git_op_query(struct dt_toolbox *tb, struct dt_http_req *req, dt_git_begin *begin);

/* Sets op->path. */
int dt_git_op_at(struct dt_git_op *op, struct dt_str path, struct dt_err *err) DT_MUST_CHECK;
/* Sets op->path from the query's `path`. */
int dt_git_op_at_query(struct dt_git_op *op, struct dt_err *err) DT_MUST_CHECK;
/* A zeroed op->state. */
void *dt_git_op_state(struct dt_git_op *op, size_t size, struct dt_err *err) DT_MUST_CHECK;
/* Runs git in op->path; `next` gets its end, failed or not. */
int dt_git_op_run(struct dt_git_op *op, const struct dt_git_args *args, dt_git_next *next,
                  struct dt_err *err) DT_MUST_CHECK;
/* The same with more options; dir, on_end and ctx are set here, dir only if it was NULL. */
int dt_git_op_run_with(struct dt_git_op *op, struct dt_git_run_opts *opts, dt_git_next *next,
                       struct dt_err *err) DT_MUST_CHECK;
/* A next for the last run: answers 200 without a body. */
dt_git_next dt_git_op_finish;
/* An answer in parts, from within on_out or next: begins it with 200 and JSON when need be; the run
 * waits when the client reads slowly. */
void dt_git_op_write(struct dt_git_op *op, struct dt_str text);
/* The last part. */
void dt_git_op_write_last(struct dt_git_op *op, struct dt_str text);
/* Ends the run from within on_out, and answers. */
void dt_git_op_break(struct dt_git_op *op, const struct dt_err *err);
/* For a tidy that is done. */
void dt_git_op_tidied(struct dt_git_op *op, const struct dt_err *err);

/* Whether git takes the text as a name and not as an option; INVALID says which field it was. */
int dt_git_name_check(const char *name, const char *field, struct dt_err *err) DT_MUST_CHECK;
/* Whether a member is there and not empty. */
static inline bool dt_git_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

#endif
