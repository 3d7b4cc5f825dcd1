/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/verb/properties.h"

/* set-property ID NAME=VALUE...: limits of a conversation that runs, in the words of systemctl set-property. */
int verb_set_property(char **words) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        int status = EXIT_OK, r;

        path = conversation_path(words[1], &status);
        if (!path)
                return status;
        r = sd_bus_message_new_method_call(bus, &m, BUS_NAME, path, INTERFACE_CONVERSATION, "SetLimits");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{st}");
        if (r < 0)
                return report_error(NULL, r, words[1]);
        for (char **w = words + 2; *w; w++) {
                const char *limit, *what;
                uint64_t value;

                what = property_parse(*w, &limit, &value);
                if (what) {
                        (void) fprintf(stderr, "northflarectl: %s: %s\n", *w, what);
                        return EXIT_USAGE;
                }
                r = sd_bus_message_append(m, "{st}", limit, value);
                if (r < 0)
                        return report_error(NULL, r, words[1]);
        }
        r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_call(bus, m, UINT64_MAX, &error, NULL);
        return r < 0 ? report_error(&error, r, words[1]) : EXIT_OK;
}
