/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"
#include "ctl/terminal.h"

int verb_show(char **words) {
        bool first = true;

        STRV_FOREACH(id, words + 1) {
                _cleanup_json_ Json *o = NULL;
                int status = describe(*id, &o);

                if (status != EXIT_OK)
                        return status;
                if (arg.json != JSON_OFF) {
                        print_json(o);
                        continue;
                }
                pager_open();
                if (!first)
                        (void) putchar('\n');
                first = false;
                print_object(o);
        }
        return EXIT_OK;
}
