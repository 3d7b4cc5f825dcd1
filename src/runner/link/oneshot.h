/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

#include <systemd/sd-event.h>

/* Timers that elapse once: made off, armed, disarmed, and armed again. The clock is CLOCK_MONOTONIC. */
int oneshot_new(sd_event *event,
                const char *name,
                sd_event_time_handler_t callback,
                void *userdata,
                sd_event_source **ret);
/* Also where it is armed: the later delay counts. */
void oneshot_arm(sd_event_source *timer, uint64_t delay_usec);
void oneshot_disarm(sd_event_source *timer);
bool oneshot_is_armed(sd_event_source *timer);
