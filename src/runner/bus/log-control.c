/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"
#include "common/log.h"
#include "runner/bus/log-control.h"

/* org.freedesktop.LogControl1, for `systemctl service-log-level`. Setting is for root (the bus policy refuses Set of other
 * users, and the property lacks SD_BUS_VTABLE_UNPRIVILEGED). The target is what it was at start. */

static int get_property(
        sd_bus *bus,
        const char *path,
        const char *interface,
        const char *property,
        sd_bus_message *reply,
        void *userdata,
        sd_bus_error *error) {
        const char *value = streq(property, "LogLevel") ? log_level_to_string(log_get_max_level()) :
                streq(property, "SyslogIdentifier")     ? "northflare-runner" :
                log_get_target() == LOG_TARGET_JOURNAL  ? "journal" :
                                                          "console";

        return bus_property_string(reply, value, BUS_PROPERTY_STATE_MAX);
}

static int set_level(
        sd_bus *bus,
        const char *path,
        const char *interface,
        const char *property,
        sd_bus_message *value,
        void *userdata,
        sd_bus_error *error) {
        const char *s;
        int r;

        r = sd_bus_message_read(value, "s", &s);
        if (r < 0)
                return r;
        r = log_level_from_string(s);
        if (r < 0)
                return bus_error(
                        error, SD_BUS_ERROR_INVALID_ARGS, "Unknown log level \"%.*s\".", utf8_cut(s, 32), s);
        log_set_max_level(r);
        log_info("Log level set to %s over D-Bus.", s);
        return 0;
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", get_property, set_level, 0, 0),
        SD_BUS_PROPERTY("LogTarget", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("SyslogIdentifier", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

int log_control_register(BusObjects *b) {
        return sd_bus_add_object_vtable(
                b->bus,
                &b->log_control_slot,
                "/org/freedesktop/LogControl1",
                "org.freedesktop.LogControl1",
                vtable,
                b);
}
