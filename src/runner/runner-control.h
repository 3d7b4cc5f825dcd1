/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/sender.h"
#include "runner/store/store.h"

/* What the runner itself has to say to the orchestrator, beside its conversations: responses to messages, and own events.
 * Both are in the store until they are acknowledged. */
typedef struct Control Control;

/* Both are borrowed; what waits in the store is sent as soon as the sender may. */
int control_new(Store *store, Sender *sender, Control **ret);
Control *control_free(Control *c);
/* There may be something new. c may be NULL: there is no orchestrator. */
void control_wake(Control *c);
