/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "common/oneshot.h"
#include "common/util.h"

int oneshot_new(
        sd_event *event,
        const char *name,
        sd_event_time_handler_t callback,
        void *userdata,
        sd_event_source **ret) {
        int r;

        r = sd_event_add_time(event, ret, CLOCK_MONOTONIC, USEC_INFINITY, USEC_PER_MSEC, callback, userdata);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(*ret, name);
        return sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int oneshot_start_at(
        sd_event_source **timer,
        sd_event *event,
        uint64_t usec,
        sd_event_time_handler_t callback,
        void *userdata) {
        int r;

        if (!*timer)
                return sd_event_add_time(
                        event, timer, CLOCK_MONOTONIC, usec, USEC_PER_MSEC, callback, userdata);
        r = sd_event_source_set_time(*timer, usec);
        return r < 0 ? r : sd_event_source_set_enabled(*timer, SD_EVENT_ONESHOT);
}

int oneshot_start(
        sd_event_source **timer,
        sd_event *event,
        uint64_t delay_usec,
        sd_event_time_handler_t callback,
        void *userdata) {
        int r;

        if (!*timer)
                return sd_event_add_time_relative(
                        event, timer, CLOCK_MONOTONIC, delay_usec, USEC_PER_MSEC, callback, userdata);
        r = sd_event_source_set_time_relative(*timer, delay_usec);
        return r < 0 ? r : sd_event_source_set_enabled(*timer, SD_EVENT_ONESHOT);
}

void oneshot_arm(sd_event_source *timer, uint64_t delay_usec) {
        (void) sd_event_source_set_time_relative(timer, delay_usec);
        (void) sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

void oneshot_arm_at(sd_event_source *timer, uint64_t usec) {
        (void) sd_event_source_set_time(timer, usec);
        (void) sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

void oneshot_disarm(sd_event_source *timer) {
        if (timer)
                (void) sd_event_source_set_enabled(timer, SD_EVENT_OFF);
}

bool oneshot_is_armed(sd_event_source *timer) {
        int enabled = SD_EVENT_OFF;

        if (timer)
                (void) sd_event_source_get_enabled(timer, &enabled);
        return enabled != SD_EVENT_OFF;
}

uint64_t oneshot_time(sd_event_source *timer) {
        uint64_t usec = USEC_INFINITY;

        if (oneshot_is_armed(timer))
                (void) sd_event_source_get_time(timer, &usec);
        return usec;
}
