/* Which of the official clients a request comes from, by its headers X-Daytona-Source and
 * X-Daytona-SDK-Version. */
#ifndef DT_TOOLBOX_SDK_H
#define DT_TOOLBOX_SDK_H

#include "net/http_server.h"

/* Whether it says a version X.Y.Z (with any suffix) and that is below major.minor. False for
 * development versions, those that cannot be read, and without the header. */
bool dt_sdk_is_before(const struct dt_http_req *req, unsigned major, unsigned minor);
/* The Python clients. Their multipart reader ignores `filename*`, and decodes `filename` twice. */
bool dt_sdk_is_python(const struct dt_http_req *req);
/* The Go client before 0.188 refuses answers with members that it does not know. One that says no
 * version is taken for old. */
bool dt_sdk_is_strict(const struct dt_http_req *req);

#endif
