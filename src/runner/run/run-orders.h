/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/scope/launcher-queue.h"

typedef struct Run Run;

/* Orders to the launcher for the scope of a run, after its start. */

/* Queues an order as launcher_order() does; limits are for LAUNCHER_SET_LIMITS. ordered() reports the result later. A
 * negative errno: nothing was ordered, and that was logged. */
int run_order(Run *r, LauncherVerb verb, const LauncherLimit *limits, size_t n_limits);
/* Queues an order whose result is not reported. */
void run_order_unheard(Run *r, LauncherVerb verb);
/* Reports whether such an order is under way or waits. */
bool run_has_order(const Run *r, LauncherVerb verb);
/* Reports whether one more order may wait. */
bool run_has_room_for_order(const Run *r);
/* The results of all orders are not reported any more. The orders are carried out. */
void run_forget_orders(Run *r);
/* Orders that wait for others are answered with -ECANCELED, later. */
void run_cancel_orders(Run *r);
