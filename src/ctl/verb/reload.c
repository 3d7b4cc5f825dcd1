/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/terminal/terminal.h"

int verb_reload(char **words) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **ignored = NULL;
        _cleanup_json_ Json *list = NULL;
        int status, r;

        status = call_manager("Reload", &reply, NULL);
        if (status != EXIT_OK)
                return status;
        r = sd_bus_message_read_strv(reply, &ignored);
        if (r < 0)
                return report_error(NULL, r, NULL);
        list = json_object_new_array();
        STRV_FOREACH(name, ignored)
                if (arg.json != JSON_OFF)
                        (void) json_object_array_add(list, json_object_new_string(*name));
                else {
                        put_str(stderr, *name);
                        (void) fputs(": the new value counts after a restart of the service\n", stderr);
                }
        if (arg.json != JSON_OFF)
                print_json(list);
        return EXIT_OK;
}
