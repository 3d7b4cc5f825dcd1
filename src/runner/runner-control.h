/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/sender.h"
#include "runner/store/store.h"

/* The runner's own reports to the orchestrator, beside those of its conversations: responses to messages, and own
 * events. Both are in the store until they are acknowledged. */
typedef struct Control Control;

/* Both are borrowed. Reports that wait in the store are sent as soon as the sender may. */
int control_new(Store *store, Sender *sender, Control **ret);
Control *control_free(Control *c);
/* There may be something new. c may be NULL: there is no orchestrator. */
void control_wake(Control *c);
