/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"

/* freeze and thaw. */
int verb_freeze(char **words) {
        const char *method = streq(words[0], "freeze") ? "Freeze" : "Thaw";

        STRV_FOREACH(id, words + 1) {
                int status = call_conversation(*id, method, NULL, NULL);

                if (status != EXIT_OK)
                        return status;
        }
        return EXIT_OK;
}
