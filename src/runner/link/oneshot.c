/* SPDX-License-Identifier: MIT */
#include "common/util.h"
#include "runner/link/oneshot.h"

int oneshot_new(sd_event *event,
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

void oneshot_arm(sd_event_source *timer, uint64_t delay_usec) {
        (void) sd_event_source_set_time_relative(timer, delay_usec);
        (void) sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

void oneshot_disarm(sd_event_source *timer) {
        (void) sd_event_source_set_enabled(timer, SD_EVENT_OFF);
}

bool oneshot_is_armed(sd_event_source *timer) {
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(timer, &enabled);
        return enabled != SD_EVENT_OFF;
}
