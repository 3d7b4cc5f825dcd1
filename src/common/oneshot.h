/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

/* Timers that elapse once, each for its owner to sd_event_source_disable_unref(). The clock is CLOCK_MONOTONIC; a timer
 * elapses at most a millisecond late. */

/* Makes one that is off. name is for the log of sd-event. */
int oneshot_new(
        sd_event *event,
        const char *name,
        sd_event_time_handler_t callback,
        void *userdata,
        sd_event_source **ret);
/* Makes *timer where it is NULL, and arms it; where it is armed the later call counts. delay_usec counts from now, usec is a
 * time of the clock. callback and userdata are those of the first call. Returns 0, or a negative errno. */
int oneshot_start(
        sd_event_source **timer,
        sd_event *event,
        uint64_t delay_usec,
        sd_event_time_handler_t callback,
        void *userdata);
int oneshot_start_at(
        sd_event_source **timer,
        sd_event *event,
        uint64_t usec,
        sd_event_time_handler_t callback,
        void *userdata);
/* Arms one that was made, whatever its accuracy; where it is armed the later call counts. */
void oneshot_arm(sd_event_source *timer, uint64_t delay_usec);
void oneshot_arm_at(sd_event_source *timer, uint64_t usec);
/* NULL is one that is not armed. */
void oneshot_disarm(sd_event_source *timer);
bool oneshot_is_armed(sd_event_source *timer);
/* The time of the clock when it elapses; USEC_INFINITY: it is not armed. */
uint64_t oneshot_time(sd_event_source *timer);
