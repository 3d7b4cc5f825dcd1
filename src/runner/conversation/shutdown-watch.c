/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/shutdown-watch.h"

#define MATCH(member, argument)                                                             \
        "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1'," \
        "interface='org.freedesktop.systemd1.Manager',member='" member "'," argument "='shutdown.target'"

struct ShutdownWatch {
        sd_bus_slot *begun, *gone;
        bool *flag;
};

static int on_begun(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ShutdownWatch *w = userdata;

        if (!*w->flag)
                log_info("The system goes down; conversations end with it.");
        *w->flag = true;
        return 0;
}

/* A job that is cancelled means that it stays up after all. */
static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *result;
        ShutdownWatch *w = userdata;

        if (sd_bus_message_read(m, "uoss", NULL, NULL, NULL, &result) >= 0 && !streq(result, "done"))
                *w->flag = false;
        return 0;
}

int shutdown_watch_new(sd_bus *bus, bool *flag, ShutdownWatch **ret) {
        _cleanup_(shutdown_watch_freep) ShutdownWatch *w = new0(ShutdownWatch, 1);
        int r;

        if (!w)
                return -ENOMEM;
        w->flag = flag;
        r = sd_bus_add_match_async(bus, &w->begun, MATCH("JobNew", "arg2"), on_begun, NULL, w);
        if (r >= 0)
                r = sd_bus_add_match_async(bus, &w->gone, MATCH("JobRemoved", "arg2"), on_gone, NULL, w);
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
