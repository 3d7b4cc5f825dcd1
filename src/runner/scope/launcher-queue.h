/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"
#include "runner/scope/launcher-client.h"

/* The one place from which the launcher is asked to do something to a scope that runs already. It keeps an account of what
 * is under way (sent, not answered yet) and of what waits, for each unit.
 *
 * Freeze, Thaw and SetLimits of one unit are sent one after the other, in the order in which they were given: each after the one
 * before it was answered and its done has returned. Orders for different units do not wait for each other. Kill, Stop and Collect
 * end a scope: they wait for nothing and are sent at once, in the order in which they were given, and what waits for that unit
 * makes no sense any more: it is answered with -ECANCELED, before they are.
 *
 * Bounds: for each unit at most LAUNCHER_WAITING_MAX orders wait, and as many that end it are under way. There is no bound on all
 * units together: a unit is known here only while it has an order, and the caller orders for the scopes of its conversations
 * (maxConversations=) and, once when it starts, for the scopes of ours that systemd lists (the launcher limits those). */
#define LAUNCHER_WAITING_MAX 16

typedef struct LauncherQueue LauncherQueue;

typedef enum LauncherVerb {
        LAUNCHER_STOP,
        LAUNCHER_KILL,
        LAUNCHER_FREEZE,
        LAUNCHER_THAW,
        LAUNCHER_COLLECT,
        LAUNCHER_SET_LIMITS,
        _LAUNCHER_VERB_MAX,
} LauncherVerb;

/* As the launcher's method is called: "Stop", "Kill", "Freeze", "Thaw", "Collect", "SetLimits". */
const char *launcher_verb_to_string(LauncherVerb verb);

/* error: 0, or a negative errno with the launcher's own text; text is NULL where the error is not the launcher's: -ECANCELED
 * because of launcher_cancel() or of an order that ends the scope, or what kept the order from being sent (-ENOTCONN and the
 * like). The order is not on the account any more. From here every function below may be called, launcher_queue_free()
 * included; text stays valid until done returns. */
typedef void (*LauncherOrderDone)(LauncherVerb verb, int error, const char *text, void *userdata);

/* Takes a reference of the bus, which is attached to the event loop in which the answers arrive (-EINVAL where it is not). */
int launcher_queue_new(sd_bus *bus, LauncherQueue **ret);
/* Nothing is answered any more. What is under way was sent; what waits is sent now, so that all that was ordered is carried
 * out. */
LauncherQueue *launcher_queue_free(LauncherQueue *q);
DEFINE_TRIVIAL_CLEANUP_FUNC(LauncherQueue *, launcher_queue_free);

/* Orders something for a unit. limits (of LAUNCHER_SET_LIMITS; ignored otherwise) are copied. done (may be NULL) runs exactly
 * once, from the event loop and never from inside this call, unless launcher_forget() or launcher_queue_free() comes first;
 * that an order cannot be sent is an answer like any other. Without done, an error is logged. Returns 0, or, with nothing ordered, nothing canceled and no done:
 * -EBUSY where a bound is reached (see above), -EINVAL for a unit without a name, -ENOMEM. */
int launcher_order(
        LauncherQueue *q,
        const char *unit,
        LauncherVerb verb,
        const LauncherLimit *limits,
        size_t n_limits,
        LauncherOrderDone done,
        void *userdata);

/* Whether such an order of that unit is under way or waits. One that was answered is not, even if its done has yet to run. */
bool launcher_has_order(const LauncherQueue *q, const char *unit, LauncherVerb verb);

/* Whether one more Freeze, Thaw or SetLimits of that unit may wait. */
bool launcher_has_room(const LauncherQueue *q, const char *unit);

/* What waits for that unit is answered with -ECANCELED, later and not from inside this call. */
void launcher_cancel(LauncherQueue *q, const char *unit);

/* userdata goes away: done does not run for any of its orders any more, whatever their unit. All of them are carried out as they
 * would have been. Forgetting NULL does nothing. */
void launcher_forget(LauncherQueue *q, void *userdata);

/* Of all units. */
void launcher_queue_count(const LauncherQueue *q, unsigned *ret_under_way, unsigned *ret_waiting);
