/* Tells the service manager how far we are, as sd_notify(3) describes its protocol. */
#ifndef DT_NOTIFY_H
#define DT_NOTIFY_H

/* This program is ready for its callers. Does nothing when no service manager asked for it
 * (NOTIFY_SOCKET), and forgets who asked: children do not inherit it. What cannot be delivered is
 * lost: the manager has a deadline of its own. */
void dt_notify_ready(void);

#endif
