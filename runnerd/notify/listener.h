/*
 * One client of the notification socket: Engine.IO 4 and Socket.IO 5 over its WebSocket.
 *
 *   GREETED  -> CHECKING | JOINED | LEAVING   it was sent `open`; its CONNECT has the credentials
 *   CHECKING -> JOINED | LEAVING              the issuer or the store is asked about its token
 *   JOINED   -> LEAVING                       it gets events and pings
 *   LEAVING                                   refused, let go or gone; nothing is sent any more
 *
 * A key or an access token is needed, and for a token the organization, `organizationId` in the
 * query. What is refused is told so in the protocol: clients then poll, while after a plain error
 * they try for minutes.
 */
#ifndef DT_LISTENER_H
#define DT_LISTENER_H

#include "runnerd/runnerd.h"

/* Answers an upgrade. BAD_REQUEST: it is no WebSocket handshake; UNAVAILABLE: too many are waiting.
 * Then nothing was answered yet. */
int dt_listener_accept(struct dt_runnerd *rd, struct dt_http_req *req,
                       struct dt_err *err) DT_MUST_CHECK;

/* For audience.c. */
struct dt_listener *dt_listener_next(const struct dt_listener *l); /* in its bucket */
const char *dt_listener_org(const struct dt_listener *l);
/* Whether it may still be there; reads its permissions anew. */
bool dt_listener_holds(struct dt_listener *l, int64_t now_ms);
bool dt_listener_may(const struct dt_listener *l, uint32_t permissions);
/* Queues one message; who has too much queued already is let go. */
void dt_listener_send(struct dt_listener *l, struct dt_str message);
/* Lets it go; `why` is a short text. */
#define DT_LISTENER_OVER "its credentials or its membership ended"
void dt_listener_dismiss(struct dt_listener *l, const char *why);

/* The bucket of an organization. */
struct dt_listener **dt_audience_bucket(struct dt_audience *a, const char *org);
unsigned dt_audience_count(const struct dt_audience *a, const char *org);

#endif
