/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"

/* drain and undrain. */
int verb_drain(char **words) {
        return call_manager(streq(words[0], "drain") ? "Drain" : "Undrain", NULL, NULL);
}
