/* Which of the official clients a request comes from, by its headers X-Daytona-Source and
 * X-Daytona-SDK-Version, and what that says about the answers it understands. */
#ifndef DT_TOOLBOX_SDK_H
#define DT_TOOLBOX_SDK_H

#include "base/str.h"

struct dt_http_req;

struct dt_sdk_gates {
    bool combined; /* logs without markers: the client is older than 0.27.0, or says nothing */
    bool home_cwd; /* sessions begin in the home: older than 0.103.0 */
    bool demuxed;  /* logs as JSON with both streams apart: 0.167.0 or newer */
};

/* Of a version as in "0.111.1" or "v0.173.0", or "1.2.3-alpha.1", which is older than "1.2.3". An
 * empty one is none at all; `split` is whether markers were asked for all the same. Versions that
 * hold `dev` are newer than all others; one that cannot be read is new, but not as new as 0.167.0.
 */
struct dt_sdk_gates dt_sdk_gates(struct dt_str version, bool split);
/* Of a request: its header X-Daytona-SDK-Version, else the subprotocol
 * X-Daytona-SDK-Version~VERSION; X-Daytona-Split-Output. */
struct dt_sdk_gates dt_sdk_gates_of(const struct dt_http_req *req);
/* Whether the header says a version below 0.minor.0. False for development versions, those that
 * cannot be read, and without the header. */
bool dt_sdk_is_before(const struct dt_http_req *req, unsigned minor);
/* The Python clients. Their multipart readers ignore `filename*`; that of 0.150.0 and newer decodes
 * `filename` twice. */
bool dt_sdk_is_python(const struct dt_http_req *req);
/* The Go client, by both of its names. It leaves an empty file out of the form that it uploads,
 * takes the exit code of a PTY only from a normal close, and cannot read what the end of one is
 * answered with. */
bool dt_sdk_is_go(const struct dt_http_req *req);
/* The Go client before 0.188 refuses answers with members that it does not know. One that says no
 * version is taken for old. */
bool dt_sdk_is_strict(const struct dt_http_req *req);

#endif
