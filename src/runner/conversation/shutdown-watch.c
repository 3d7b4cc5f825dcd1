/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/shutdown-watch.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"
#define TARGET "shutdown.target"

struct ShutdownWatch {
        sd_bus_slot *begun, *gone;
        bool *flag;
};

/* A job that is cancelled means that it stays up after all. */
static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *unit, *result;
        ShutdownWatch *w = userdata;

        if (sd_bus_message_read(m, "uoss", NULL, NULL, &unit, &result) >= 0 && streq(unit, TARGET) &&
            !streq(result, "done"))
                *w->flag = false;
        return 0;
}

/* The unit is asked for here and not in the match: sd-bus compares no argument behind one that is not a string. */
static int on_begun(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *unit;
        ShutdownWatch *w = userdata;

        if (sd_bus_message_read(m, "uos", NULL, NULL, &unit) < 0 || !streq(unit, TARGET))
                return 0;
        log_info("The system goes down; conversations end with it.");
        *w->flag = true;
        if (!w->gone)
                (void) sd_bus_match_signal_async(
                                sd_bus_message_get_bus(m),
                                &w->gone,
                                SYSTEMD,
                                SYSTEMD_PATH,
                                SYSTEMD_MANAGER,
                                "JobRemoved",
                                on_gone,
                                NULL,
                                w);
        return 0;
}

int shutdown_watch_new(sd_bus *bus, bool *flag, ShutdownWatch **ret) {
        _cleanup_(shutdown_watch_freep) ShutdownWatch *w = new0(ShutdownWatch, 1);
        int r;

        if (!w)
                return -ENOMEM;
        w->flag = flag;
        r = sd_bus_match_signal_async(
                        bus, &w->begun, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "JobNew", on_begun, NULL, w);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

ShutdownWatch *shutdown_watch_free(ShutdownWatch *w) {
        if (!w)
                return NULL;
        sd_bus_slot_unref(w->begun);
        sd_bus_slot_unref(w->gone);
        free(w);
        return NULL;
}
