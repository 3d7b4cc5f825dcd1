/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"

int verb_interrupt(char **words) {
        STRV_FOREACH(id, words + 1) {
                int status = call_conversation(*id, "Interrupt", NULL, NULL);

                if (status != EXIT_OK)
                        return status;
        }
        return EXIT_OK;
}
