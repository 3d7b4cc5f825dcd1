/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "ctl/ctl.h"

typedef struct Stopping {
        char **ids;
        unsigned waiting;
        int status;
} Stopping;

typedef struct One {
        Stopping *all;
        const char *id;
} One;

static int on_stopped(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        One *one = userdata;

        one->all->waiting--;
        if (sd_bus_message_is_method_error(m, NULL))
                one->all->status = report_error(
                                sd_bus_message_get_error(m), sd_bus_message_get_errno(m), one->id);
        return 1;
}

static int stop_one(One *one) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL;
        int r, status = EXIT_OK;

        path = conversation_path(one->id, &status);
        if (!path)
                return -ENOMEM;
        r = sd_bus_message_new_method_call(bus, &m, BUS_NAME, path, INTERFACE_CONVERSATION, "Stop");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && arg.reason)
                r = sd_bus_message_append(m, "{sv}", "reason", "s", arg.reason);
        if (r >= 0 && arg.grace_set)
                r = sd_bus_message_append(m, "{sv}", "graceMs", "t", arg.grace_ms);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_call_async(bus, NULL, m, on_stopped, one, UINT64_MAX);
        return r;
}

/* All at once: each waits until nothing of its conversation is left. */
int verb_stop(char **words) {
        Stopping s = { .ids = words + 1 };
        _cleanup_free_ One *ones = new0(One, strv_length(words));
        int r = ones ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && s.ids[i]; i++) {
                ones[i] = (One){ &s, s.ids[i] };
                r = stop_one(ones + i);
                if (r >= 0)
                        s.waiting++;
        }
        while (r >= 0 && s.waiting > 0) {
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
        }
        return r < 0 ? report_error(NULL, r, NULL) : s.status;
}
