/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "runner/bus/bus-internal.h"

/* The specification's bound of a name. */
#define NAME_MAX_BYTES 255
/* No object here has a longer path. */
#define PATH_MAX_BYTES BUS_PATH_BYTES_MAX

static int refuse(sd_bus_message *m, const char *name, const char *text) {
        bus_answer_error(m, name, text);
        return 1;
}

/* sd-bus quotes in an error, whole, what it does not know: an object, or an interface or a property that somebody asks for. A
 * name in a call about properties may be as long as a message, and the error is a little longer. Such a call ends here. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name;

        if (!sd_bus_message_is_method_call(m, NULL, NULL))
                return 0;
        if (strlen(strempty(sd_bus_message_get_path(m))) > PATH_MAX_BYTES)
                return refuse(m, SD_BUS_ERROR_UNKNOWN_OBJECT, "No object has so long a path.");
        if (!sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", NULL))
                return 0;
        while (sd_bus_message_read_basic(m, 's', &name) > 0)
                if (strlen(name) > NAME_MAX_BYTES)
                        return refuse(m,
                                      SD_BUS_ERROR_INVALID_ARGS,
                                      "The name of an interface or of a property has at most 255 bytes.");
        return MIN(sd_bus_message_rewind(m, true), 0);
}

int bus_guard_register(BusObjects *b) {
        return sd_bus_add_filter(b->bus, &b->guard_slot, on_message, b);
}
